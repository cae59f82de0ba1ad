"""The memory that one call adds at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_memory_mib(call: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """Highest memory during ``call`` less that before it, in MiB; NaN where the system does not tell.

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
