"""One Part A density map against one scipy.ndimage.gaussian_filter per person, as published scripts do.

python benchmarks/bench_density_map.py --part-a data/shanghaitech/part_A/train_data
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from harness import Timing, report, time_alternately
from scipy.ndimage import gaussian_filter

from skt_crowd.data import open_dataset
from skt_ext.density import density_map, geometry_adaptive_sigma


def one_filter_per_person(points: np.ndarray, shape: tuple[int, int], sigma: np.ndarray) -> np.ndarray:
    """Filter a whole image with a single one in it for each person and add the results."""
    total = np.zeros(shape, np.float64)
    for (x, y), width in zip(points, sigma, strict=True):
        impulse = np.zeros(shape, np.float64)
        impulse[int(y), int(x)] = 1.0
        total += gaussian_filter(impulse, width, mode="constant", truncate=4.0)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--part-a",
        type=Path,
        default=Path("data/shanghaitech/part_A/train_data"),
        help="ShanghaiTech Part A's train_data folder (default: %(default)s)",
    )
    parser.add_argument("--image", default="IMG_10", help="default: %(default)s, 920 people")
    arguments = parser.parse_args()
    if not arguments.part_a.is_dir():
        print(f"density_map skipped: {arguments.part_a} is not there; name it with --part-a")
        return

    dataset = open_dataset("shanghaitech", arguments.part_a)
    sample = dataset[list(dataset.names).index(arguments.image)]
    shape = sample.image.shape[:2]
    points = torch.from_numpy(sample.points)
    sigma = geometry_adaptive_sigma(points)

    def ours(boundary: str) -> torch.Tensor:
        return density_map(points, shape, sigma, boundary=boundary)

    start = time.perf_counter()
    expected = one_filter_per_person(sample.points, shape, sigma.numpy())
    scipy_seconds = time.perf_counter() - start  # a minute for 920 people: measured once

    error = float(np.abs(ours("clip").numpy() - expected).max())
    mass = float(ours("conserve").double().sum())
    print(
        f"largest difference from scipy {error:.2e}; sum under 'conserve' {mass:.4f} of {len(points)} people"
    )
    if error > 1e-6:
        raise SystemExit("the map differs from scipy's by more than 1e-6: not timed")

    timings = {"one scipy filter per person": Timing((scipy_seconds,), peak_mib=float("nan"))}
    timings |= time_alternately(
        {
            "skt_ext density_map, clip": lambda: ours("clip"),
            "skt_ext density_map, conserve": lambda: ours("conserve"),
            "skt_ext widths and map, clip": lambda: density_map(
                points, shape, geometry_adaptive_sigma(points), boundary="clip"
            ),
        },
        rounds=51,
        warmup=5,
    )
    report(
        "density_map",
        timings,
        baseline="one scipy filter per person",
        notes=f"{arguments.image} {shape[0]}x{shape[1]}, {len(points)} people, max error {error:.2e}, "
        f"sum under conserve {mass:.4f}",
    )


if __name__ == "__main__":
    main()
