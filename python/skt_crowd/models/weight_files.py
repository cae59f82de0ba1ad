"""Read named tensors from safetensors and PyTorch files without running their contents; copy them."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from skt_crowd.errors import SktError

SHOWN = 4  # names or shapes listed in a message before "and N more"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Names and tensors of a weights file, on the CPU, in the file's own dtypes.

    The content decides how it is read, not the file's name: safetensors, or PyTorch's format with
    ``weights_only=True``. A PyTorch file may wrap the weights as ``{"state_dict": ...}``; a ``module.``
    prefix (DataParallel) is dropped.

    Raises:
        SktError: missing, unreadable, truncated, or holding anything but tensors.
    """
    if is_safetensors(path):
        try:
            weights = load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise SktError(f"{path}: not a complete safetensors file: {one_line(error)}") from error
    else:
        weights = _read_pytorch(path)
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """The text a safetensors file carries beside its tensors; empty for a PyTorch file.

    Raises:
        SktError: missing, unreadable or truncated.
    """
    if not is_safetensors(path):
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise SktError(f"{path}: not a complete safetensors file: {one_line(error)}") from error


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors does: eight bytes of length, then a JSON object.

    Raises:
        SktError: missing, empty or unreadable.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise SktError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise SktError(f"{path}: the file is empty")
    return head[8:9] == b"{"


def copy_weights(module: nn.Module, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Copy ``weights`` into ``module`` in place, in the module's dtype; nothing changes if they do not fit.

    Raises:
        SktError: names missing or left over, or shapes that differ; the message lists them.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems = [
        f"{title} {_first(items)}"
        for title, items in (("missing", missing), ("unexpected", unexpected), ("other shapes:", shapes))
        if items
    ]
    if problems:
        raise SktError(f"{origin}: weights do not fit: {'; '.join(problems)}")
    module.load_state_dict(dict(weights))


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks, at most 200 characters."""
    return " ".join(str(error).split())[:200]


def _read_pytorch(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file:  # torch reads an open file by its content, a path also by its suffix
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SktError(
            f"{path}: not a weights file, or one that holds more than tensors and would run code to load"
        ) from error
    except Exception as error:  # damaged files raise nearly anything, struct.error for one
        raise SktError(f"{path}: not a complete PyTorch file: {one_line(error)}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise SktError(f"{path}: expected a dictionary of tensors, or one under the key 'state_dict'")
    return {str(name): tensor for name, tensor in content.items()}


def _first(items: list[str]) -> str:
    rest = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
