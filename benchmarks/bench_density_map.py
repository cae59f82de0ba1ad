"""One Part A density map, each person's width from their neighbours, against the ways people make it.

python benchmarks/bench_density_map.py --part-a data/shanghaitech/part_A/train_data
"""

from __future__ import annotations

import time

import numpy as np
from crowd_images import part_a_arguments, part_a_crowd
from harness import Timing, report, time_alternately
from scipy.ndimage import gaussian_filter

from skt_ext.density import density_map, geometry_adaptive_sigma


def one_filter_per_person(points: np.ndarray, shape: tuple[int, int], sigma: np.ndarray) -> np.ndarray:
    """Filter a whole image with a single one in it for each person and add the results, as published scripts do."""
    total = np.zeros(shape, np.float64)
    for (x, y), width in zip(points, sigma, strict=True):
        impulse = np.zeros(shape, np.float64)
        impulse[int(y), int(x)] = 1.0
        total += gaussian_filter(impulse, width, mode="constant", truncate=4.0)
    return total


def one_window_per_person(points: np.ndarray, shape: tuple[int, int], sigma: np.ndarray) -> np.ndarray:
    """The same map by NumPy: only the window that a kernel reaches, as an outer product of two profiles."""
    total = np.zeros(shape, np.float32)
    for (x, y), width in zip(points, sigma, strict=True):
        row, column, radius = int(y), int(x), int(4.0 * width + 0.5)
        profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / width) ** 2)
        profile = (profile / profile.sum()).astype(np.float32)
        top, bottom = max(row - radius, 0), min(row + radius + 1, shape[0])
        left, right = max(column - radius, 0), min(column + radius + 1, shape[1])
        rows = profile[top - row + radius : bottom - row + radius]
        columns = profile[left - column + radius : right - column + radius]
        total[top:bottom, left:right] += np.outer(rows, columns)
    return total


def one_opencv_window_per_person(points: np.ndarray, shape: tuple[int, int], sigma: np.ndarray) -> np.ndarray:
    """The same with OpenCV's kernels and product."""
    import cv2

    total = np.zeros(shape, np.float32)
    for (x, y), width in zip(points, sigma, strict=True):
        row, column, radius = int(y), int(x), int(4.0 * width + 0.5)
        profile = cv2.getGaussianKernel(2 * radius + 1, width, cv2.CV_32F)
        top, bottom = max(row - radius, 0), min(row + radius + 1, shape[0])
        left, right = max(column - radius, 0), min(column + radius + 1, shape[1])
        rows = profile[top - row + radius : bottom - row + radius]
        columns = profile[left - column + radius : right - column + radius]
        total[top:bottom, left:right] += cv2.gemm(rows, columns, 1, None, 0, flags=cv2.GEMM_2_T)
    return total


def main() -> None:
    arguments = part_a_arguments(__doc__).parse_args()
    if not arguments.part_a.is_dir():
        print(f"density_map skipped: {arguments.part_a} is not there; name it with --part-a")
        return
    points, image = part_a_crowd(arguments.part_a, arguments.image)
    shape = image.shape[:2]
    sigma = geometry_adaptive_sigma(points)
    place, width = points.numpy(), sigma.numpy()

    start = time.perf_counter()
    expected = one_filter_per_person(place, shape, width)
    scipy_seconds = time.perf_counter() - start  # a minute for 920 people: measured once

    peers = {"one NumPy window per person": lambda: one_window_per_person(place, shape, width)}
    try:
        import cv2  # noqa: F401

        peers["one OpenCV window per person"] = lambda: one_opencv_window_per_person(place, shape, width)
    except ImportError:
        print("OpenCV is not installed: left out")
    ours = {
        "skt_ext density_map, clip": lambda: density_map(points, shape, sigma, boundary="clip"),
        "skt_ext density_map, conserve": lambda: density_map(points, shape, sigma),
        "skt_ext density_map, sub-pixel": lambda: density_map(points, shape, sigma, subpixel=True),
        "skt_ext density_map, stride 8": lambda: density_map(points, shape, sigma, stride=8),
        "skt_ext widths and map, clip": lambda: density_map(
            points, shape, geometry_adaptive_sigma(points), boundary="clip"
        ),
    }
    error = float(np.abs(np.asarray(ours["skt_ext density_map, clip"]()) - expected).max())
    mass = float(ours["skt_ext density_map, conserve"]().double().sum())
    print(
        f"largest difference from scipy {error:.2e}; sum under 'conserve' {mass:.4f} of {len(points)} people"
    )
    if error > 1e-6:
        raise SystemExit("the map differs from scipy's by more than 1e-6: not timed")
    for name, call in peers.items():
        if float(np.abs(call() - expected).max()) > 1e-5:
            raise SystemExit(f"{name} is not the same map: not timed")

    timings = {"one scipy filter per person": Timing((scipy_seconds,), peak_mib=float("nan"))}
    timings |= time_alternately(peers | ours, rounds=31, warmup=3)
    report(
        "density_map",
        timings,
        baseline="one scipy filter per person",
        notes=f"{arguments.image} {shape[0]}x{shape[1]}, {len(points)} people, max error {error:.2e}, "
        f"sum under conserve {mass:.4f}",
    )


if __name__ == "__main__":
    main()
