"""How long ``import skt_ext`` takes beyond ``import torch``: fresh interpreters, alternating.

python benchmarks/bench_import.py
"""

from __future__ import annotations

import subprocess
import sys

from harness import Timing, report

CODE = """
import time
import torch, numpy
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
STATEMENTS = {
    "nothing beyond torch": "pass",
    "import skt_ext": "import skt_ext",
    "import skt_ext.losses, .density": "import skt_ext.losses, skt_ext.density",
}


def seconds_of(statement: str) -> float:
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(statement=statement)], check=True, capture_output=True, text=True
    )
    return float(result.stdout)


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(7):
        for name, statement in STATEMENTS.items():
            seconds[name].append(seconds_of(statement))
    timings = {name: Timing(tuple(values), peak_mib=float("nan")) for name, values in seconds.items()}
    report(
        "import_time",
        timings,
        baseline="import skt_ext",
        notes="after torch and numpy are imported; target 0.3 s",
    )


if __name__ == "__main__":
    main()
