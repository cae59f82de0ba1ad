"""Where weights start: at random for a student, from ImageNet for a teacher."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from skt_crowd.errors import SktError, UsageError
from skt_crowd.models.weight_files import copy_weights, read_weights

if TYPE_CHECKING:
    from skt_crowd.models.base import CrowdCounter

OUTPUT_STANDARD_DEVIATION = 0.01
# Root mean square of VGG-16's conv4_3 after its ReLU, on photographs normalised by ImageNet's statistics.
VGG16_FEATURE_SCALE = 100.0


def initialize_weights(model: nn.Module, output: nn.Conv2d) -> None:
    """Weights ~ N(0, 2 / fan_out), biases 0 (He et al., ICCV 2015); the output layer ~ N(0, 0.01^2).

    A plain VGG has no normalisation, so only this scale keeps gradients alive through seventeen layers.
    Kaiming's rule would give the output layer, with its one output channel, a standard deviation of 1.4 and
    maps of tens of people per cell; targets are hundredths, so that layer starts near zero instead.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(output.weight, std=OUTPUT_STANDARD_DEVIATION)


def initialize_from_vgg16(model: "CrowdCounter", source: Path | str) -> None:
    """Copy VGG-16's first ten convolutions (ImageNet) into ``model.frontend``, in place.

    The first convolution of the back end is divided by ``VGG16_FEATURE_SCALE``: it expects inputs of scale one,
    and without this the first maps are a hundred times too large, which Adam's averages remember for a thousand
    steps. Other layers stay.

    Args:
        model: a CSRNet at rate 1; ImageNet weights exist for no other width.
        source: a ``.safetensors`` or ``.pth`` file with torchvision's names (``features.0.weight`` ...), or
            the word "torchvision", which downloads torchvision's weights (the package must be installed).

    Raises:
        UsageError: a model that VGG-16 does not fit, or "torchvision" without the package.
        SktError: a file that is missing, unreadable or holds something else.
    """
    frontend = getattr(model, "frontend", None)
    if not isinstance(frontend, nn.Sequential):
        raise UsageError(f"ImageNet initialisation: {model.name} has no VGG-16 front end")
    if model.channel_preservation_rate != 1.0:
        raise UsageError(
            f"ImageNet initialisation: VGG-16's weights fit rate 1 only, and this is {model.label}"
        )
    if str(source) == "torchvision":
        origin, weights = "torchvision's VGG-16", _torchvision_vgg16()
    else:
        origin, weights = str(source), read_weights(Path(source))
    names = {name: f"features.{name}" for name in frontend.state_dict()}
    chosen = {name: weights[theirs] for name, theirs in names.items() if theirs in weights}
    if not chosen:
        raise SktError(f"{origin}: expected VGG-16's features.0.weight ..., found {_some(weights)}")
    copy_weights(frontend, chosen, origin)
    with torch.no_grad():
        model.get_parameter("backend.0.weight").div_(VGG16_FEATURE_SCALE)


def _torchvision_vgg16() -> dict[str, torch.Tensor]:
    try:
        from torchvision.models import VGG16_Weights
    except ImportError:
        raise UsageError(
            "ImageNet initialisation: torchvision is not installed; "
            "pip install torchvision, or give a weights file instead"
        ) from None
    try:
        return dict(VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False))
    except (OSError, RuntimeError) as error:
        raise SktError(f"torchvision's VGG-16 weights could not be downloaded: {error}") from error


def _some(weights: Mapping[str, torch.Tensor]) -> str:
    names = list(weights)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "") if names else "nothing"
