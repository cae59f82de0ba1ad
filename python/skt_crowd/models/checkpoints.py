"""Save and load models as safetensors that say what they are, and load weights published by others."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import save as to_safetensors

from skt_crowd.errors import SktError, UsageError
from skt_crowd.files import atomic_write
from skt_crowd.models.base import CrowdCounter
from skt_crowd.models.csrnet import CSRNet
from skt_crowd.models.rate import scaled_width
from skt_crowd.models.registry import MODELS, available_models, build_model
from skt_crowd.models.weight_files import copy_weights, read_metadata, read_weights

__all__ = ["load_model", "save_model"]

ARCHITECTURE = "skt_crowd.architecture"
RATE = "skt_crowd.channel_preservation_rate"
LARGEST_DENOMINATOR = 64
BLOCK_WIDTHS = {
    "frontend.0.weight": 64,
    "frontend.5.weight": 128,
    "frontend.10.weight": 256,
    "frontend.17.weight": 512,
}


def save_model(path: Path, model: CrowdCounter, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model as safetensors: weights, architecture, rate, and ``metadata`` (text only). Atomic.

    >>> model = build_model("csrnet", "1/4")
    >>> save_model(Path("student.safetensors"), model, {"trained on": "Part A"})  # doctest: +SKIP

    Raises:
        UsageError: a metadata key or value that is not text, or a key that belongs to this file format.
        SktError: the file cannot be written; an older one is left as it was.
    """
    own = {ARCHITECTURE: model.name, RATE: repr(model.channel_preservation_rate)}
    extra = dict(metadata or {})
    for key, value in extra.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise UsageError(f"metadata: expected text for text, got {key!r}: {value!r}")
        if key in own:
            raise UsageError(f"metadata: {key!r} is set by save_model")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    content = to_safetensors(tensors, {**extra, **own})

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    atomic_write(Path(path), write)


def load_model(path: Path) -> CrowdCounter:
    """The model in a file, float32, on the CPU, in evaluation mode.

    Reads files of :func:`save_model`, and bare CSRNet weights (safetensors, ``.pth``, ``.pth.tar``;
    ``module.`` prefixes and a ``{"state_dict": ...}`` wrapper are fine), whose rate follows from their
    shapes. Pickled code is never run.

    Raises:
        SktError: a file that is missing, truncated, or of another architecture; the message says which
            weights do not fit.
    """
    path = Path(path)
    metadata = read_metadata(path)
    weights = read_weights(path)
    if ARCHITECTURE in metadata:
        model = _build_declared(path, metadata)
    else:
        model = CSRNet(_csrnet_rate(path, weights))
    copy_weights(model, weights, str(path))
    return model.eval()


def _build_declared(path: Path, metadata: Mapping[str, str]) -> CrowdCounter:
    name, rate = metadata[ARCHITECTURE], metadata.get(RATE, "")
    if name not in MODELS:
        raise SktError(
            f"{path}: holds a model named {name!r}; this version knows {', '.join(available_models())}"
        )
    try:
        return build_model(name, rate)
    except UsageError as error:
        raise SktError(f"{path}: its metadata is damaged: {error}") from error


def _csrnet_rate(path: Path, weights: Mapping[str, torch.Tensor]) -> float:
    """The simplest fraction that gives the widths of the first convolution of each block."""
    absent = [name for name in BLOCK_WIDTHS if name not in weights]
    if absent:
        found = ", ".join(sorted(weights)[:3]) or "nothing"
        raise SktError(f"{path}: not a CSRNet: expected weights named {', '.join(absent)}; found {found} ...")
    widths = [(width, weights[name].shape[0]) for name, width in BLOCK_WIDTHS.items() if weights[name].ndim]
    for denominator in range(1, LARGEST_DENOMINATOR + 1):
        for numerator in range(1, denominator + 1):
            rate = numerator / denominator
            if all(found == scaled_width(width, rate) for width, found in widths):
                return rate
    shown = ", ".join(f"{found} of {width}" for width, found in widths)
    raise SktError(f"{path}: no channel preservation rate gives these CSRNet widths: {shown}")
