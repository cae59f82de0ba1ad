"""Geodesic maps of a Part A image against FastGeodis called once a person, and their distances against the truth.

FastGeodis (PyPI, built against the installed torch) and scikit-fmm are optional; what is not there is left out.
FastGeodis is given its best case: windows cut beforehand, distances only, no kernels, no sum, no normalisation.

python benchmarks/bench_density_geodesic.py --part-a data/shanghaitech/part_A/train_data
"""

from __future__ import annotations

import csv
from collections.abc import Callable

import numpy as np
import torch
from crowd_images import part_a_arguments, part_a_crowd
from harness import RESULTS, describe_device, report, time_alternately

from skt_ext.density import density_map, geometry_adaptive_sigma
from skt_ext.ops.geodesic_splat import geodesic_distance, path_costs

WEIGHT, GAIN = 0.5, 10.0


def windows(
    points: torch.Tensor, sigma: torch.Tensor, image: torch.Tensor
) -> list[tuple[torch.Tensor, tuple[int, int]]]:
    """For each person the part of image (C, H, W) that the kernel may reach, and the person's (row, column) in it."""
    cut = []
    for (x, y), width in zip(points.tolist(), sigma.tolist(), strict=True):
        row, column, radius = int(y), int(x), int(4.0 * width + 0.5)
        top, left = max(row - radius, 0), max(column - radius, 0)
        part = image[:, top : row + radius + 1, left : column + radius + 1].contiguous()
        cut.append((part, (row - top, column - left)))
    return cut


def fast_geodis_distances() -> Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]:
    import FastGeodis

    iterations = 2  # as its examples have it; not always the shortest paths

    def distance(image: torch.Tensor, person: tuple[int, int]) -> torch.Tensor:
        seeds = torch.ones(1, 1, *image.shape[1:])
        seeds[0, 0, person[0], person[1]] = 0
        scaled = image[None] * GAIN
        return FastGeodis.generalised_geodesic2d(scaled, seeds, 1e10, WEIGHT, iterations)[0, 0]

    return distance


def accuracy_around_a_gap() -> list[dict[str, str]]:
    """Distances behind a wall with one gap of a pixel: the truth is two straight lines that meet in the gap."""
    size, start, gap = 101, (50, 30), (38, 50)
    roi = torch.ones(size, size, dtype=torch.bool)
    roi[:, gap[1]] = False
    roi[gap] = True
    rows = torch.arange(size, dtype=torch.float64)[:, None]
    columns = torch.arange(size, dtype=torch.float64)[None]
    to_gap = np.hypot(start[0] - gap[0], start[1] - gap[1])
    truth = torch.hypot(rows - gap[0], columns - gap[1]) + to_gap
    behind = (columns > gap[1]).expand(size, size)
    ways = {
        "skt_ext: straight line + detour": geodesic_distance(start, roi, None, 0.0, 0.0),
        "steps of 1 and sqrt(2), as FastGeodis": path_costs(start, roi, None, 0.0, 0.0),
        "straight line through the wall": torch.hypot(rows - start[0], columns - start[1]),
    }
    try:
        import skfmm

        phi = np.ones((size, size))
        phi[start] = 0
        field = skfmm.distance(np.ma.MaskedArray(phi - 0.5, ~roi.numpy()))
        # The front starts half a pixel from the person's pixel.
        ways["scikit-fmm, fast marching"] = torch.from_numpy(field.filled(np.nan)) + 0.5
    except ImportError:
        print("scikit-fmm is not installed: left out")
    measured = []
    for name, distance in ways.items():
        error = (distance - truth)[behind].abs() / truth[behind]
        measured.append(
            {
                "distance": name,
                "mean_relative_error": f"{error.mean():.4f}",
                "largest_relative_error": f"{error.max():.4f}",
                "notes": f"{size}x{size}, wall with a gap of one pixel, everything behind the wall",
            }
        )
        print(f"  {name:44s} mean error {error.mean():7.2%}, largest {error.max():7.2%}")
    return measured


def main() -> None:
    arguments = part_a_arguments(__doc__).parse_args()
    print("distances behind a wall with a gap")
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "density_geodesic_accuracy.csv").open("w", newline="") as file:
        rows = [row | {"date": describe_device()["date"]} for row in accuracy_around_a_gap()]
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if not arguments.part_a.is_dir():
        print(f"density_geodesic skipped: {arguments.part_a} is not there; name it with --part-a")
        return

    points, pixels = part_a_crowd(arguments.part_a, arguments.image)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    shape = (image.shape[1], image.shape[2])
    sigma = geometry_adaptive_sigma(points)
    options = {"image": image, "geodesic_weight": WEIGHT, "geodesic_gain": GAIN}

    some = slice(None, None, 20)  # the reference walks every pixel in Python
    expected = density_map(points[some], shape, sigma[some], **options, backend="reference")
    found = density_map(points[some], shape, sigma[some], **options)
    error = float((found - expected).abs().max() / expected.max())
    print(f"largest difference from the reference, every 20th person: {error:.1e} of the largest value")
    if error > 0.01:
        raise SystemExit("the map differs from the reference by more than 1 %: not timed")

    candidates: dict[str, Callable[[], object]] = {
        "skt_ext geodesic map": lambda: density_map(points, shape, sigma, **options),
        "skt_ext geodesic map, stride 8": lambda: density_map(points, shape, sigma, **options, stride=8),
        "skt_ext straight map": lambda: density_map(points, shape, sigma),
    }
    notes = (
        f"{arguments.image} {shape[0]}x{shape[1]}, {len(points)} people, weight {WEIGHT}, gain {GAIN}, "
        f"max error {error:.1e} of the largest value"
    )
    try:
        distance = fast_geodis_distances()
        cut = windows(points, sigma, image)
        differences = []
        for part, person in cut[::40]:
            exact = path_costs(person, torch.ones(part.shape[1:], dtype=torch.bool), part, WEIGHT, GAIN)
            differences.append(float((distance(part, person) - exact).abs().max() / exact.max()))
        notes += f", FastGeodis' distances off by up to {max(differences):.1e} of the largest"

        def everybody(threads: int) -> None:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            for part, person in cut:
                distance(part, person)
            torch.set_num_threads(before)

        candidates["FastGeodis, distances only, one thread"] = lambda: everybody(1)
        candidates["FastGeodis, distances only, all threads"] = lambda: everybody(torch.get_num_threads())
    except ImportError:
        print("FastGeodis is not installed: left out")
    timings = time_alternately(candidates, rounds=5, warmup=1)
    report("density_geodesic", timings, baseline="skt_ext geodesic map", notes=notes)


if __name__ == "__main__":
    main()
