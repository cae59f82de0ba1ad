"""Read named tensors from safetensors, HDF5 and PyTorch files without running their contents; copy them."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from skt_crowd.errors import SktError, one_line

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
WRAPPERS = ("module.", "model.", "DME.")  # DataParallel; the classes around DSSINet and MCNN
NESTED_UNDER = ("state_dict", "model_state_dict")
# Training checkpoints often hold a best error beside the weights, as a number of NumPy's: plain data.
_SCALAR: Any = np.float64(0).__reduce__()[0]
NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype("float64")),
    type(np.dtype("float32")),
    type(np.dtype("int64")),
]
SHOWN = 4  # names or shapes listed in a message before "and N more"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Names and tensors of a weights file, on the CPU, in the file's own dtypes.

    The content decides how it is read, not the file's name: safetensors, HDF5, or PyTorch's format with
    ``weights_only=True``. A PyTorch file may wrap the weights as ``{"state_dict": ...}``; names of wrappers at the
    beginning of every name (``module.`` of DataParallel, ``model.``, ``DME.``) are dropped.

    Raises:
        SktError: missing, unreadable, truncated, or holding anything but tensors.
    """
    if is_safetensors(path):
        try:
            weights = load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise SktError(f"{path}: not a complete safetensors file: {one_line(error)}") from error
    elif _first_bytes(path) == HDF5_SIGNATURE:
        weights = _read_hdf5(path)
    else:
        weights = _read_pytorch(path)
    return _without_wrappers(weights)


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
    return _first_bytes(path, 9)[8:9] == b"{"


def copy_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], origin: str, *, called: Callable[[str], str] = str
) -> None:
    """Copy ``weights`` into ``module`` in place, in the module's dtype; nothing changes if they do not fit.

    Args:
        module: what gets them.
        weights: by the module's names.
        origin: where they are from, for the message.
        called: what the origin calls one of the module's names, for the message.

    Raises:
        SktError: names missing or left over, or shapes that differ; the message lists them.
    """
    expected = module.state_dict()
    missing = [called(name) for name in expected if name not in weights]
    unexpected = [called(name) for name in weights if name not in expected]
    shapes = [
        f"{called(name)} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
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


def _first_bytes(path: Path, count: int = len(HDF5_SIGNATURE)) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(count)
    except OSError as error:
        raise SktError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise SktError(f"{path}: the file is empty")
    return head


def _without_wrappers(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop prefixes of wrappers while all names have one."""
    names = list(weights)
    for wrapper in WRAPPERS * 2:  # model.module. as well as module.model.
        if all(name.startswith(wrapper) for name in names):
            names = [name.removeprefix(wrapper) for name in names]
    return dict(zip(names, weights.values(), strict=True))


def _read_hdf5(path: Path) -> dict[str, torch.Tensor]:
    """Every data set by its path, with dots between groups."""
    import h5py

    weights: dict[str, torch.Tensor] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name.replace("/", ".")] = torch.from_numpy(np.asarray(item[()]))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
    except Exception as error:  # damaged files raise nearly anything
        raise SktError(f"{path}: not a complete HDF5 file of tensors: {one_line(error)}") from error
    return weights


def _read_pytorch(path: Path) -> dict[str, torch.Tensor]:
    try:
        # torch reads an open file by its content, a path also by its suffix
        with path.open("rb") as file, torch.serialization.safe_globals(NUMPY_NUMBERS):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SktError(
            f"{path}: not a weights file, or one that holds more than tensors and would run code to load"
        ) from error
    except Exception as error:  # damaged files raise nearly anything, struct.error for one
        raise SktError(f"{path}: not a complete PyTorch file: {one_line(error)}") from error
    for key in NESTED_UNDER:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise SktError(f"{path}: expected a dictionary of tensors, or one under the key 'state_dict'")
    return {str(name): tensor for name, tensor in content.items()}


def _first(items: list[str]) -> str:
    rest = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
