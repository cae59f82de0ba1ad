"""How much faster the 1/4-CSRNet counts than CSRNet, and which way of running it is the fastest here.

Random weights: time does not depend on them. Every way of running a network must give the count of plain eager
torch, within 0.1 % in float32 and within 2 % in bfloat16, which is timed where the processor computes it in hardware.
The differences are printed.

    python benchmarks/bench_student_speed.py
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

import torch
import torch._inductor.config
from harness import report, time_alternately
from torch import Tensor, nn

from skt_crowd.device import autocast_for, resolve_precision
from skt_crowd.efficiency import count_macs
from skt_crowd.models import build_model

TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # relative, of a count
PLAIN, STUDENT = "CSRNet, eager float32", "1/4-CSRNet, eager float32"


def run(model: nn.Module, image: Tensor, precision: str = "float32") -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.inference_mode(), autocast_for(precision, "cpu"):
            density: Tensor = model(image)
        return density

    return forward


def ways_of_running(image: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Both networks plain and in channels_last; the student in everything else there is."""
    torch.manual_seed(0)
    networks = {
        "CSRNet": build_model("csrnet", 1.0).eval(),
        "1/4-CSRNet": build_model("csrnet", "1/4").eval(),
    }
    last = image.contiguous(memory_format=torch.channels_last)
    ways = {f"{name}, eager float32": run(model, image) for name, model in networks.items()}
    for name, model in networks.items():
        copy = build_model("csrnet", model.channel_preservation_rate).eval()
        copy.load_state_dict(model.state_dict())
        networks[name] = copy.to(memory_format=torch.channels_last)
        ways[f"{name}, channels_last"] = run(networks[name], last)
    student = networks["1/4-CSRNet"]
    if resolve_precision("auto", "cpu") == "bfloat16":
        ways["1/4-CSRNet, channels_last bfloat16"] = run(student, last, "bfloat16")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    torch._inductor.config.freezing = True  # weights become constants: packed for oneDNN, ReLU fused
    ways["1/4-CSRNet, channels_last, compiled and fused"] = run(torch.compile(student), last)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(576, 864), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    height, width = arguments.size

    ways = ways_of_running(torch.randn(1, 3, height, width))
    plain = {name: float(ways[f"{name}, eager float32"]().sum()) for name in ("CSRNet", "1/4-CSRNet")}
    differences = {}
    for name, forward in ways.items():
        expected = plain[name.partition(",")[0]]
        differences[name] = abs(float(forward().float().sum()) / expected - 1)
        print(f"  {name:48s} count differs by {differences[name]:.1e} from eager float32")
        if differences[name] > TOLERANCE["bfloat16" if "bfloat16" in name else "float32"]:
            raise SystemExit(f"{name}: counts differently: not timed")
    worst = max(difference for name, difference in differences.items() if "bfloat16" not in name)
    rounded = max(
        (difference for name, difference in differences.items() if "bfloat16" in name), default=None
    )

    timings = time_alternately(ways, rounds=arguments.rounds)
    for name, timing in timings.items():
        model = build_model("csrnet", "1/4" if name.startswith("1/4") else 1.0)
        print(f"  {name:48s} {count_macs(model, height, width) / timing.median / 1e9:6.1f} GMAC/s")
    report(
        "student_speed",
        timings,
        baseline=PLAIN,
        notes=f"{height}x{width}, batch 1, forward only; counts within {worst:.0e} of eager"
        + (f" and {rounded:.0e} in bfloat16" if rounded is not None else "")
        + "; same precision, eager: "
        f"{timings[PLAIN].median / timings[STUDENT].median:.2f}x",
    )


if __name__ == "__main__":
    main()
