"""Start a model from the convolutions of an ImageNet VGG."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from skt_crowd.errors import SktError, UsageError
from skt_crowd.weights.files import copy_weights, read_weights

if TYPE_CHECKING:
    from skt_crowd.models import CrowdModel

# Root mean square of VGG-16's conv4_3 after its ReLU, on photographs normalised by ImageNet's statistics.
VGG16_FEATURE_SCALE = 100.0


def initialize_from_vgg(model: "CrowdModel", source: Path | str) -> None:
    """Copy the convolutions of an ImageNet VGG into ``model.frontend``, in place: VGG-16's, or VGG-19's for BL.

    Weights that read the result are divided by ``VGG16_FEATURE_SCALE`` (``model.behind_frontend``): they expect
    inputs of scale one, and without this the first maps are a hundred times too large, which Adam's averages
    remember for a thousand steps. Other layers stay.

    Args:
        model: a model at rate 1 whose front end is a VGG's; ImageNet weights exist for no other width.
        source: a ``.safetensors`` or ``.pth`` file with torchvision's names (``features.0.weight`` ...), or
            the word "torchvision", which downloads torchvision's weights (the package must be installed).

    Raises:
        UsageError: a model that no VGG fits, or "torchvision" without the package.
        SktError: a file that is missing, unreadable or holds something else.
    """
    if model.imagenet is None:
        raise UsageError(f"ImageNet initialisation: {model.name} does not start with a VGG")
    network = "VGG-" + model.imagenet.removeprefix("vgg")
    if model.channel_preservation_rate != 1.0:
        raise UsageError(
            f"ImageNet initialisation: {network}'s weights fit rate 1 only, and this is {model.label}"
        )
    if str(source) == "torchvision":
        origin, weights = f"torchvision's {network}", _from_torchvision(model.imagenet)
    else:
        origin, weights = str(source), read_weights(Path(source))
    frontend = model.get_submodule("frontend")
    wanted = [
        f"{path}.{name}"
        for path, layer in frontend.named_children()
        if isinstance(layer, nn.Conv2d)
        for name in ("weight", "bias")
    ]
    if not any(f"features.{name}" in weights for name in wanted):
        raise SktError(f"{origin}: expected {network}'s features.0.weight ..., found {_some(weights)}")
    kept = {name: tensor for name, tensor in frontend.state_dict().items() if name not in wanted}
    chosen = {name: weights[f"features.{name}"] for name in wanted if f"features.{name}" in weights}
    copy_weights(frontend, chosen | kept, origin)
    with torch.no_grad():
        for name in model.behind_frontend:
            model.get_parameter(name).div_(VGG16_FEATURE_SCALE)


def _from_torchvision(network: str) -> dict[str, torch.Tensor]:
    try:
        from torchvision.models import get_model_weights
    except ImportError:
        raise UsageError(
            "ImageNet initialisation: torchvision is not installed; "
            "pip install torchvision, or give a weights file instead"
        ) from None
    try:
        return dict(get_model_weights(network)["IMAGENET1K_V1"].get_state_dict(progress=False))
    except (OSError, RuntimeError) as error:
        raise SktError(f"torchvision's {network} weights could not be downloaded: {error}") from error


def _some(weights: Mapping[str, torch.Tensor]) -> str:
    names = list(weights)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "") if names else "nothing"
