"""Operator density_splat: against the reference and by hand; density_map's own tests compare with scipy."""

import math

import pytest
import torch
from random_features import on_every_device

import skt_ext  # noqa: F401  (registers the operators)
from skt_ext import reference

op = torch.ops.skt_ext.density_splat
SIZES = [(1, 1), (1, 13), (17, 1), (31, 23), (64, 48)]


def crowd(height: int, width: int, people: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """People in and around the image, some on corners; widths from a fraction of a pixel to the image."""
    generator = torch.Generator().manual_seed(people)
    size = torch.tensor([width, height], dtype=torch.float64)
    points = torch.rand(people, 2, generator=generator, dtype=torch.float64) * (size + 4) - 2
    points[: people // 4] = points[: people // 4].floor()
    sigma = 10 ** (torch.rand(people, generator=generator, dtype=torch.float64) * 3 - 1.5)
    return points.to(device), sigma.to(device)


@on_every_device
@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("with_roi", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("people", [0, 1, 40])
def test_equals_the_reference(size, people, with_roi, conserve, device):
    points, sigma = crowd(*size, people, device)
    roi = None
    if with_roi:
        roi = (torch.rand(size, generator=torch.Generator().manual_seed(1)) > 0.3).to(device)
    density = op(points, sigma, *size, 4.0, conserve, roi)
    assert density.dtype == torch.float32
    expected = reference.density_splat(points, sigma, *size, 4.0, conserve, roi)
    torch.testing.assert_close(density, expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(density, op(points, sigma, *size, 4.0, conserve, roi))


@on_every_device
def test_by_hand(device):
    # sigma 0.5, truncate 2: radius int(2 * 0.5 + 0.5) = 1; profile e^-2, 1, e^-2 over its sum 1 + 2 e^-2.
    # One row only, the person in column 0: the map keeps the centre row's factor 1 / s and columns 0 and 1.
    e = math.exp(-2)
    s = 1 + 2 * e
    points = torch.tensor([[0.9, 0.2]], dtype=torch.float64, device=device)
    sigma = torch.tensor([0.5], dtype=torch.float64, device=device)
    clip = op(points, sigma, 1, 4, 2.0, False, None)
    torch.testing.assert_close(clip.cpu(), torch.tensor([[1 / s**2, e / s**2, 0.0, 0.0]]))
    conserve = op(points, sigma, 1, 4, 2.0, True, None)
    torch.testing.assert_close(conserve.cpu(), torch.tensor([[1 / (1 + e), e / (1 + e), 0.0, 0.0]]))


@pytest.mark.parametrize("conserve", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(conserve):
    points, sigma = crowd(64, 48, 200, "cpu")
    threads = torch.get_num_threads()
    try:
        maps = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            maps.append(op(points, sigma, 64, 48, 4.0, conserve, None))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])
