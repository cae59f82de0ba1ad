"""What makes a figure comparable: device, matrix extensions, threads, versions, date."""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

EXTENSIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe_machine(device: torch.device | str = "cpu") -> dict[str, str]:
    """Columns that every row of a benchmark's CSV carries."""
    device = torch.device(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, extensions = properties.name, f"sm_{properties.major}{properties.minor}"
    else:
        cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        flags = set(_cpuinfo_field(cpuinfo, "flags").split())
        name = _cpuinfo_field(cpuinfo, "model name") or platform.processor()
        extensions = " ".join(flag for flag in EXTENSIONS if flag in flags) or "none known"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "device": name,
        "extensions": extensions,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def copy_bandwidth(device: torch.device | str = "cpu", *, mib: int = 128, rounds: int = 7) -> float:
    """Bytes read and written a second by a copy of ``mib`` MiB, the best of ``rounds``: what memory allows."""
    source = torch.ones(mib * 2**18, device=device)
    target = torch.empty_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), torch.device(device), rounds)
    return 2 * source.numel() * source.element_size() / seconds


def product_rate(device: torch.device | str = "cpu", *, size: int = 2048, rounds: int = 5) -> float:
    """Multiply-adds a second of a float32 product of two (size, size) matrices, the best of ``rounds``."""
    left, right = torch.randn(2, size, size, device=device)
    out = torch.empty_like(left)
    seconds = _best_seconds(lambda: torch.mm(left, right, out=out), torch.device(device), rounds)
    return size**3 / seconds


def _best_seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds + 1):  # the first warms up, and is rarely the best
        _synchronize(device)
        start = time.perf_counter()
        call()
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cpuinfo_field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
