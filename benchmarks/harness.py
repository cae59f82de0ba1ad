"""Time functions side by side in one process and write what was seen: ratios first, seconds second.

Every benchmark does the same three things in the same order: check that the candidates agree with the
reference, time them alternately (so that a busy moment of the machine falls on all of them), and write one CSV
row a measurement with everything needed to read it later.
"""

from __future__ import annotations

import csv
import datetime
import gc
import os
import platform
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over the rounds, and the resident memory it added at its peak in MiB."""

    seconds: tuple[float, ...]
    peak_mib: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def time_alternately(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1
) -> dict[str, Timing]:
    """Call each candidate in turn, ``rounds`` times after ``warmup`` unrecorded turns."""
    for _ in range(warmup):
        for call in candidates.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            gc.collect()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(seconds[name]), peak_memory_mib(call)) for name, call in candidates.items()}


def peak_memory_mib(call: Callable[[], object]) -> float:
    """Highest resident memory during one call less that before it, sampled every millisecond, in MiB."""
    gc.collect()
    before = highest = _resident_bytes()
    done = threading.Event()

    def sample() -> None:
        nonlocal highest
        while not done.wait(0.001):
            highest = max(highest, _resident_bytes())

    watcher = threading.Thread(target=sample)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return (highest - before) / 2**20


def _resident_bytes() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def describe_machine() -> dict[str, str]:
    """What makes a figure comparable: processor and its matrix extensions, threads, versions, date."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = set(_cpuinfo_field(cpuinfo, "flags").split())
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "device": _cpuinfo_field(cpuinfo, "model name") or platform.processor(),
        "extensions": " ".join(extensions) or "none known",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _cpuinfo_field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def report(name: str, timings: Mapping[str, Timing], *, baseline: str, notes: str = "") -> Path:
    """Print a table of ratios to ``baseline`` and write ``results/<name>.csv``."""
    machine = describe_machine()
    print(
        f"{name} on {machine['device']} ({machine['extensions']}), {machine['threads']} threads, "
        f"torch {machine['torch']}"
    )
    rows = []
    for candidate, timing in timings.items():
        ratio = timings[baseline].median / timing.median
        print(
            f"  {candidate:44s} {timing.median * 1e3:12.2f} ms  "
            f"(10-90 %: {timing.quantile(0.1) * 1e3:.2f} to {timing.quantile(0.9) * 1e3:.2f})  "
            f"peak +{timing.peak_mib:8.1f} MiB  {ratio:9.2f}x"
        )
        rows.append(
            {
                "benchmark": name,
                "candidate": candidate,
                "median_s": f"{timing.median:.6g}",
                "q10_s": f"{timing.quantile(0.1):.6g}",
                "q90_s": f"{timing.quantile(0.9):.6g}",
                "rounds": len(timing.seconds),
                "peak_mib": f"{timing.peak_mib:.1f}",
                f"times_faster_than_{baseline.replace(' ', '_')}": f"{ratio:.4g}",
                "notes": notes,
                **machine,
                "command": shlex.join(["python", *sys.argv]),
            }
        )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"  written to {os.path.relpath(path)}")
    return path
