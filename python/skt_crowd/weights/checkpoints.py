"""Save and load models as safetensors that say what they are, and load weights published by others."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors

from skt_crowd.errors import SktError, UsageError
from skt_crowd.files import write_bytes
from skt_crowd.models import MODELS, CrowdModel, available_models, build_model
from skt_crowd.weights.files import copy_weights, read_metadata, read_weights
from skt_crowd.weights.recognition import find_rate, recognize

__all__ = ["load_model", "save_model"]

ARCHITECTURE = "skt_crowd.architecture"
RATE = "skt_crowd.channel_preservation_rate"


def save_model(path: Path, model: CrowdModel, metadata: Mapping[str, str] | None = None) -> None:
    """Write a model as safetensors: weights, architecture, rate, and ``metadata`` (text only). Atomic.

    Raises:
        UsageError: a metadata key or value that is not text, or a key that belongs to this file format.
        SktError: the file cannot be written; an older one is left as it was.

    Example:
        >>> model = build_model("csrnet", "1/4")
        >>> save_model(Path("student.safetensors"), model, {"trained on": "Part A"})  # doctest: +SKIP
    """
    own = {ARCHITECTURE: model.name, RATE: repr(model.channel_preservation_rate)}
    extra = dict(metadata or {})
    for key, value in extra.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise UsageError(f"metadata: expected text for text, got {key!r}: {value!r}")
        if key in own:
            raise UsageError(f"metadata: {key!r} is set by save_model")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(Path(path), to_safetensors(tensors, {**extra, **own}))


def load_model(path: Path) -> CrowdModel:
    """The model in a file, float32, on the CPU, in evaluation mode.

    Reads files of ``save_model``, and weights that others published (safetensors, HDF5, ``.pth``,
    ``.pth.tar``), which are recognised by their names and shapes: CSRNet and SKT's teachers, SKT's students with and
    without embeddings, BL, CAN, DSSINet and MCNN. ``module.`` prefixes and a ``{"state_dict": ...}`` wrapper are
    fine. Pickled code is never run.

    Raises:
        SktError: a file that is missing, truncated, or of another architecture; the message says which
            weights do not fit, by the file's names.
    """
    path = Path(path)
    metadata = read_metadata(path)
    weights = read_weights(path)
    if ARCHITECTURE in metadata:
        model = _build_declared(path, metadata)
        copy_weights(model, weights, str(path))
    else:
        key_map = recognize(weights, str(path))
        weights = key_map.our_names(weights)
        model = build_model(key_map.model, find_rate(key_map.model, weights, str(path)))
        copy_weights(model, _with_batch_counts(weights, model), str(path), called=key_map.their_name)
    return model.eval()


def _with_batch_counts(weights: Mapping[str, torch.Tensor], model: CrowdModel) -> dict[str, torch.Tensor]:
    """Add the number of batches seen, which batch norms of old checkpoints lack; nothing depends on it."""
    counts = {
        name: tensor for name, tensor in model.state_dict().items() if name.endswith(".num_batches_tracked")
    }
    return counts | dict(weights)


def _build_declared(path: Path, metadata: Mapping[str, str]) -> CrowdModel:
    name, rate = metadata[ARCHITECTURE], metadata.get(RATE, "")
    if name not in MODELS:
        raise SktError(
            f"{path}: holds a model named {name!r}; this version knows {', '.join(available_models())}"
        )
    try:
        return build_model(name, rate)
    except UsageError as error:
        raise SktError(f"{path}: its metadata is damaged: {error}") from error
