"""Count one image file in a process of its own and print what it took, as JSON."""

import json
import sys
import time
from pathlib import Path

import torch

from skt_crowd.inference import count_image
from skt_crowd.models import build_model


def status(field: str) -> int:
    """VmRSS, resident now, or VmHWM, the most it ever was: bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def main(image: str, name: str, rate: str, budget: str, precision: str = "float32") -> None:
    torch.manual_seed(0)
    model = build_model(name, rate).eval()
    before = status("VmRSS")  # interpreter, libraries and weights
    started = time.perf_counter()
    result = count_image(model, Path(image), memory_budget=int(budget), precision=precision)
    measured = {
        "above_the_weights": status("VmHWM") - before,
        "before": before,
        "passes": result.passes,
        "count": result.count,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
