"""Where the time of ``skt count`` on a 576x864 photograph goes: every stage, then the whole command.

The photograph is synthetic (``skt_crowd.data.render_crowd``) and saved as JPEG, the model is a 1/4-CSRNet.

    python benchmarks/bench_count.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from harness import Timing, report, time_alternately
from PIL import Image

from skt_crowd.data import normalize_image, read_image, render_crowd
from skt_crowd.inference import count_image, save_overlay
from skt_crowd.models import build_model
from skt_crowd.weights import load_model, save_model

WHOLE = "whole command: skt count"
IMPORT_CODE = """
import time
start = time.perf_counter()
import torch
torch_done = time.perf_counter()
from skt_crowd.inference import count_image
from skt_crowd.weights import load_model
print(torch_done - start, time.perf_counter() - torch_done)
"""


def seconds_of_command(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - start


def import_seconds() -> tuple[float, float]:
    """Seconds of importing torch, then of what ``skt count`` imports besides, in a fresh interpreter."""
    output = subprocess.run(
        [sys.executable, "-c", IMPORT_CODE], check=True, capture_output=True, text=True
    ).stdout
    of_torch, of_skt = map(float, output.split())
    return of_torch, of_skt


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(576, 864), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    height, width = arguments.size

    with tempfile.TemporaryDirectory() as folder:
        photograph, weights = Path(folder) / "photograph.jpg", Path(folder) / "student.safetensors"
        Image.fromarray(render_crowd(seed=0, size=(height, width)).image).save(photograph, quality=92)
        torch.manual_seed(0)
        save_model(weights, build_model("csrnet", "1/4"), {})
        model = load_model(weights)
        image = read_image(photograph)
        pixels = normalize_image(image).unsqueeze(0).contiguous(memory_format=torch.channels_last)
        result = count_image(model, photograph)

        @torch.inference_mode()
        def forward() -> torch.Tensor:
            return model(pixels)

        stages = {
            "stage: load the weights": lambda: load_model(weights),
            "stage: read and decode the image": lambda: read_image(photograph),
            "stage: normalise": lambda: normalize_image(image),
            "stage: forward": forward,
            "stage: draw and save the overlay": lambda: save_overlay(
                Path(folder) / "overlay.jpg", image, result
            ),
        }
        timings = time_alternately(stages, rounds=arguments.rounds)

        commands, torch_imports, skt_imports = [], [], []
        count = "import sys; from skt_crowd.cli import main; sys.argv[0] = 'skt'; main()"
        for number in range(4):
            output = str(Path(folder) / f"counted-{number}")
            command = [
                sys.executable,
                "-c",
                count,
                "count",
                str(photograph),
                "--model",
                str(weights),
                "--output",
                output,
            ]
            commands.append(seconds_of_command(command))
            of_torch, of_skt = import_seconds()
            torch_imports.append(of_torch)
            skt_imports.append(of_skt)
        unknown = float("nan")  # memory of another process
        timings["stage: import torch"] = Timing(tuple(torch_imports[1:]), unknown)
        timings["stage: import skt_crowd and the rest"] = Timing(tuple(skt_imports[1:]), unknown)
        timings[WHOLE] = Timing(tuple(commands[1:]), unknown)
    report("count", timings, baseline=WHOLE, notes=f"{height}x{width}, 1/4-CSRNet, overlay and JSON written")


if __name__ == "__main__":
    main()
