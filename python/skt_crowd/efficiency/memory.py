"""How much memory a call takes: of the tensors it makes, and of the whole process."""

import contextlib
import ctypes
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skt_crowd.efficiency.dry_run import dry_copy, dry_run

GIB = 2**30
DEFAULT_BUDGET = 2 * GIB  # bytes above the weights


_SMALL, _LARGE = 64, 128  # pixels along the sides of the images that are measured


def activation_bytes(forward: Callable[[int], object], side: int) -> int:
    """Peak size in bytes of the tensors that ``forward(side)`` makes and that are alive at once.

    What a convolution's library sets aside for itself is not in it.

    Example:
        >>> activation_bytes(lambda side: torch.nn.Conv2d(3, 4, 1)(torch.zeros(1, 3, side, side)).relu(), 10)
        4464
    """
    live = _LiveBytes()
    with live:
        forward(side)
    return live.peak


def activation_bytes_per_pixel(forward: Callable[[int], object]) -> float:
    """Bytes by which ``activation_bytes`` grows with each pixel; what does not grow cancels out.

    Args:
        forward: makes a square image of the given side and runs a model on it.
    """
    small, large = activation_bytes(forward, _SMALL), activation_bytes(forward, _LARGE)
    return (large - small) / (_LARGE**2 - _SMALL**2)


def peak_activation_bytes(model: nn.Module, height: int, width: int) -> int:
    """Peak size in bytes of the tensors alive at once in a float32 forward without gradients, the image included.

    Weights do not count, nor does scratch memory of the convolution library. Each tensor counts from the moment an
    operator returns it until its last reference is gone, so what a module holds on to longer than it needs is seen.

    Args:
        model: a crowd counting model; it is copied, not changed.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Example:
        >>> peak_activation_bytes(nn.Conv2d(3, 8, 1), 10, 20)  # (3 + 8) channels of 200 pixels, 4 bytes each
        8800
    """
    live = _LiveBytes()
    dry_run(dry_copy(model), height, width, watch=live)
    return live.peak


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operators return, and subtracts each when it dies."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: set[int] = set()
        self.alive = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if not isinstance(leaf, Tensor):
                continue
            storage = leaf.untyped_storage()
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                size = storage.nbytes()
                self.alive += size
                weakref.finalize(storage, self._forget, storage._cdata, size)
        self.peak = max(self.peak, self.alive)
        return output

    def _forget(self, identity: int, size: int) -> None:
        self.alive -= size
        self.known.discard(identity)


_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_memory_mib(call: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """Peak memory during ``call`` minus the memory before it, in MiB; NaN where the system does not tell.

    On a CPU it is the resident memory of the process as Linux keeps its highest value, which includes what
    libraries take beside torch; on CUDA what torch's allocator handed out.
    """
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return float((torch.cuda.max_memory_allocated(device) - before) / 2**20)
    _give_back_freed_memory()
    try:
        _CLEAR.write_text("5")  # the highest value starts again from the present one
        before = _kib("VmRSS")
        call()
        return (_kib("VmHWM") - before) / 2**10
    except OSError:
        call()
        return float("nan")


def _give_back_freed_memory() -> None:
    """Otherwise freed memory that the allocator keeps for later would hide what the call takes."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _kib(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise OSError(f"{_STATUS} has no {field}")
