"""One Part A density map with one width for all, where a single convolution of the point map does it too.

python benchmarks/bench_density_fixed.py --part-a data/shanghaitech/part_A/train_data
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from crowd_images import part_a_arguments, part_a_crowd
from harness import report, time_alternately
from scipy.ndimage import gaussian_filter

from skt_ext.density import density_map

SIGMA = 4.0


def point_map(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: how many people stand in each pixel"""
    counts = np.zeros(shape, np.float32)
    np.add.at(counts, (points[:, 1].astype(int), points[:, 0].astype(int)), 1)
    return counts


def torch_convolutions(points: np.ndarray, shape: tuple[int, int]) -> torch.Tensor:
    """One column and one row convolution."""
    radius = int(4 * SIGMA + 0.5)
    profile = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / SIGMA) ** 2)
    profile = profile / profile.sum()
    counts = torch.from_numpy(point_map(points, shape))[None, None]
    rows = F.conv2d(counts, profile.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(rows, profile.view(1, 1, 1, -1), padding=(0, radius))[0, 0]


def torch_square_convolution(points: np.ndarray, shape: tuple[int, int]) -> torch.Tensor:
    """One convolution with the square kernel, as density modules in networks do."""
    radius = int(4 * SIGMA + 0.5)
    profile = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / SIGMA) ** 2)
    profile = profile / profile.sum()
    counts = torch.from_numpy(point_map(points, shape))[None, None]
    return F.conv2d(counts, torch.outer(profile, profile)[None, None], padding=radius)[0, 0]


def scipy_filter(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return gaussian_filter(point_map(points, shape), SIGMA, mode="constant", truncate=4.0)


def opencv_blur(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    side = 2 * int(4 * SIGMA + 0.5) + 1
    return cv2.GaussianBlur(point_map(points, shape), (side, side), SIGMA, borderType=cv2.BORDER_CONSTANT)


def main() -> None:
    arguments = part_a_arguments(__doc__).parse_args()
    if not arguments.part_a.is_dir():
        print(f"density_fixed skipped: {arguments.part_a} is not there; name it with --part-a")
        return
    points, image = part_a_crowd(arguments.part_a, arguments.image)
    shape, place = image.shape[:2], points.numpy()
    candidates = {
        "torch, two convolutions of the point map": lambda: torch_convolutions(place, shape),
        "torch, one square convolution": lambda: torch_square_convolution(place, shape),
        "scipy, one filter of the point map": lambda: scipy_filter(place, shape),
    }
    try:
        import cv2  # noqa: F401

        candidates["OpenCV, one blur of the point map"] = lambda: opencv_blur(place, shape)
    except ImportError:
        print("OpenCV is not installed: left out")
    candidates["skt_ext density_map, clip"] = lambda: density_map(points, shape, SIGMA, boundary="clip")
    candidates["skt_ext density_map, conserve"] = lambda: density_map(points, shape, SIGMA)
    expected = np.asarray(candidates["skt_ext density_map, clip"]())
    for name, call in candidates.items():
        if "conserve" not in name and float(np.abs(np.asarray(call()) - expected).max()) > 1e-5:
            raise SystemExit(f"{name} is not the same map: not timed")
    report(
        "density_fixed",
        time_alternately(candidates, rounds=31, warmup=3),
        baseline="torch, two convolutions of the point map",
        notes=f"{arguments.image} {shape[0]}x{shape[1]}, {len(points)} people, sigma {SIGMA}; the convolutions lose "
        "people at the border as clip does",
    )


if __name__ == "__main__":
    main()
