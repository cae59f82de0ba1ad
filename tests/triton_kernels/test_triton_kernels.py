"""The Triton kernels, run by triton's interpreter on the CPU, against the float64 reference."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skt_ext.ops import OPERATORS

pytest.importorskip("triton")

HEIGHT, WIDTH = 19, 70  # two tiles down, two across


def crowd(*counts: int, kernels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Points (P, K, 2), some beside the image, widths (P, K, 2), offsets (B + 1,) of images with so many people."""
    generator = torch.Generator().manual_seed(seed)
    people = sum(counts)
    spread = torch.rand(people, kernels, 2, generator=generator, dtype=torch.float64)
    points = spread * torch.tensor([WIDTH + 4.0, HEIGHT + 4.0]) - 2
    sigma = 0.3 + 2.5 * torch.rand(people, kernels, 2, generator=generator, dtype=torch.float64)
    return points, sigma, torch.tensor([0, *counts]).cumsum(0)


def holes(images: int, share: float = 0.15) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(images, HEIGHT, WIDTH, generator=generator) > share


def euclidean(
    points, sigma, offsets, *, stride=1, conserve=True, subpixel=False, roi=None, shape=(HEIGHT, WIDTH)
):
    return "density_splat", (points, sigma, offsets, *shape, stride, 4.0, conserve, subpixel, roi)


def geodesic(points, sigma, *, size, stride=1, conserve=True, roi=None, image=None, weight=0.5, gain=1.0):
    offsets = torch.tensor([0, len(points)])
    arguments = (points, sigma, offsets, *size, stride, 4.0, conserve, roi, image, weight, gain)
    return "geodesic_splat", arguments


def people(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 2)


def wall_with_a_gap() -> Tensor:
    region = torch.ones(1, 11, 13, dtype=torch.bool)
    region[0, :, 6] = False
    region[0, 8, 6] = True
    return region


def spiral() -> Tensor:
    """A corridor that turns round and round: a path needs several sweeps."""
    rows = [
        "#########",
        ".........",
        "########.",
        "#......#.",
        "#.####.#.",
        "#.#..#.#.",
        "#.#.##.#.",
        "#.#....#.",
        "#.######.",
    ]
    return torch.tensor([[[pixel == "." for pixel in row] for row in [*rows, "#........"]]])


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(3))


ONE = torch.tensor([1.0], dtype=torch.float64)
CASES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "plain": euclidean(*crowd(4, 0, 3)),
    "clip": euclidean(*crowd(5), conserve=False),
    "sub-pixel": euclidean(*crowd(5), subpixel=True),
    "head and body": euclidean(*crowd(2, 2, kernels=2), subpixel=True),
    "region": euclidean(*crowd(3, 2), roi=holes(2)),
    "stride 8": euclidean(*crowd(4, 2), stride=8),
    "stride 3, sub-pixel, clip": euclidean(*crowd(5), stride=3, conserve=False, subpixel=True),
    "stride 8, region": euclidean(*crowd(4), stride=8, roi=holes(1)),
    "nobody": euclidean(*crowd(0, 0)),
    "no image": euclidean(*crowd(), shape=(5, 7)),
    "one pixel": euclidean(
        people(0.5, 0.5)[:, None], people(2.0, 2.0)[:, None], torch.tensor([0, 1]), shape=(1, 1)
    ),
    "tiny widths between pixels": euclidean(
        people(3.0, 5.0, 9.25, 4.0)[:, None],
        torch.full((2, 1, 2), 1e-30, dtype=torch.float64),
        torch.tensor([0, 2]),
        subpixel=True,
    ),
    "wide": euclidean(people(30.2, 9.7)[:, None], people(90.0, 40.0)[:, None], torch.tensor([0, 1])),
    "wall with a gap": geodesic(people(4.5, 6.5), 2 * ONE, size=(11, 13), roi=wall_with_a_gap()),
    "wall, clip": geodesic(people(4.5, 6.5), 2 * ONE, size=(11, 13), roi=wall_with_a_gap(), conserve=False),
    "spiral": geodesic(people(0.5, 1.5), 20 * ONE, size=(10, 9), roi=spiral()),
    "edges": geodesic(
        people(4.5, 6.5, 0.0, 0.0), ONE.expand(2), size=(9, 10), image=picture(9, 10), gain=20.0
    ),
    "edges and region": geodesic(
        people(4.5, 6.5, -1.0, 2.0),
        ONE.expand(2),
        size=(11, 13),
        roi=wall_with_a_gap(),
        image=picture(11, 13),
    ),
    "edges at stride 4": geodesic(people(4.5, 6.5), ONE, size=(9, 10), stride=4, image=picture(9, 10)),
    "no weight": geodesic(people(4.5, 6.5), ONE, size=(9, 10), image=picture(9, 10), weight=0.0),
}


@pytest.fixture(scope="session")
def interpreted(tmp_path_factory) -> dict[str, Tensor]:
    """The maps of all cases, twice each, from one process with the interpreter."""
    folder = tmp_path_factory.mktemp("interpreted")
    torch.save([*CASES.values(), CASES["plain"]], folder / "cases.pt")
    command = [sys.executable, str(Path(__file__).with_name("interpret.py"))]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([*command, folder / "cases.pt", folder / "results.pt"], check=True, env=environment)
    return dict(
        zip([*CASES, "plain again"], torch.load(folder / "results.pt", weights_only=True), strict=True)
    )


@pytest.mark.parametrize("name", CASES)
def test_reference(interpreted, name):
    operator, arguments = CASES[name]
    expected = OPERATORS[operator].reference(*arguments)
    assert interpreted[name].dtype == torch.float32
    torch.testing.assert_close(interpreted[name], expected, rtol=2e-5, atol=1e-7)


def test_the_same_bits_again(interpreted):
    assert torch.equal(interpreted["plain"], interpreted["plain again"])


def test_nobody_is_lost_or_walks_through_a_wall(interpreted):
    """Not only against the reference: by hand."""
    assert interpreted["wall with a gap"].sum().item() == pytest.approx(1, abs=1e-6)
    beyond = interpreted["wall with a gap"][0, :, 7:].sum().item()
    straight = interpreted["wall, clip"].new_tensor([math.exp(-0.5 * (x / 2) ** 2) for x in range(-8, 9)])
    assert 0 < beyond < 0.3 * float(straight[-6:].sum() / straight.sum())  # mass of the plain Gaussian there
    assert interpreted["spiral"][0, 5, 3] > 0  # the innermost corner, far along the corridor
    assert interpreted["no image"].shape == (0, 5, 7)
    assert torch.equal(interpreted["nobody"], torch.zeros(2, HEIGHT, WIDTH))
