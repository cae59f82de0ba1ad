"""Print ratios first, seconds second, and write one CSV row a measurement into results/.

Every benchmark does the same three things in the same order: check that the candidates agree with the reference,
time them alternately (``skt_crowd.benchmarking``), and report.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from skt_crowd.efficiency import Timing, time_alternately
from skt_crowd.efficiency.benchmarking.results import timing_columns, write_csv
from skt_crowd.machine import describe_device

__all__ = ["Timing", "report", "time_alternately"]

RESULTS = Path(__file__).parent / "results"


def report(name: str, timings: Mapping[str, Timing], *, baseline: str, notes: str = "") -> Path:
    """Print a table of ratios to ``baseline`` and write ``results/<name>.csv``."""
    machine = describe_device()
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
                **timing_columns(timing),
                f"times_faster_than_{baseline.replace(' ', '_')}": f"{ratio:.4g}",
                "notes": notes,
                **machine,
                "command": shlex.join(["python", *sys.argv]),
            }
        )
    path = RESULTS / f"{name}.csv"
    write_csv(path, rows)
    print(f"  written to {os.path.relpath(path)}")
    return path
