"""Nobody is lost: maps of all annotated crowds at hand, by every rule that promises it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat

from skt_ext.density import (
    density_map,
    geometry_adaptive_sigma,
    head_and_body,
    nearest_neighbor_sigma,
    perspective_sigma,
)
from tests.support.shared_data import shared_path

Crowd = tuple[np.ndarray, tuple[int, int]]


def part_a() -> list[Crowd]:
    folder = shared_path("data", "shanghaitech", "part_A", "train_data")
    crowds = []
    for path in sorted(folder.glob("images/*.jpg")):
        annotation = loadmat(next(folder.glob(f"ground*truth/GT_{path.stem}.mat")))
        crowds.append((annotation["image_info"][0, 0]["location"][0, 0], size_of(path)))
    assert len(crowds) == 300
    return crowds


def ucf_cc_50() -> list[Crowd]:
    folder = shared_path("data", "ucf_cc_50")
    crowds = [
        (loadmat(path.with_name(f"{path.stem}_ann.mat"))["annPoints"], size_of(path))
        for path in sorted(folder.glob("*.jpg"))
    ]
    assert len(crowds) == 50
    return crowds


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def inside(points: np.ndarray, shape: tuple[int, int], roi: np.ndarray | None = None) -> int:
    x, y = np.floor(points).astype(int).T
    kept = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
    return int(kept.sum() if roi is None else roi[y[kept], x[kept]].sum())


def total(*arguments: object, **options: object) -> float:
    return density_map(*arguments, **options).sum(dtype=torch.float64).item()  # type: ignore[arg-type]


@pytest.mark.parametrize("crowds", [part_a, ucf_cc_50], ids=lambda function: function.__name__)
def test_the_sum_is_the_number_of_people(crowds):
    for points, shape in crowds():
        expected = pytest.approx(inside(points, shape), rel=1e-4)
        perspective = np.linspace(5, 40, shape[0])[:, None].repeat(shape[1], 1)
        adaptive = geometry_adaptive_sigma(points)
        for sigma in (4.0, adaptive, nearest_neighbor_sigma(points), perspective_sigma(points, perspective)):
            assert total(points, shape, sigma, stride=8) == expected
        assert total(points, shape, adaptive) == expected
        assert total(points, shape, adaptive, subpixel=True, stride=8) == expected
        parts, sigma = head_and_body(points, perspective)
        assert total(parts, shape, sigma, stride=8) == expected


@pytest.mark.parametrize("crowds", [part_a, ucf_cc_50], ids=lambda function: function.__name__)
def test_the_sum_is_the_number_of_people_in_a_region(crowds):
    for points, shape in crowds()[::25]:
        rows, columns = np.indices(shape)
        roi = (columns > 0.2 * rows) & ((rows // 40 + columns // 40) % 5 != 0)  # a border and pillars
        sigma = geometry_adaptive_sigma(points, maximum=8.0)
        expected = pytest.approx(inside(points, shape, roi), rel=1e-4)
        assert total(points, shape, sigma, roi=roi, stride=8) == expected
        assert total(points, shape, sigma, roi=roi, geodesic_weight=0.0) == expected
        image = (np.sin(rows / 7) * np.cos(columns / 5)).astype(np.float32)
        assert total(points, shape, sigma, roi=roi, image=image, geodesic_weight=0.5, stride=8) == expected
