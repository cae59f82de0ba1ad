"""Operator density_splat: against the reference and by hand; density_map's own tests compare with scipy."""

import math

import pytest
import torch

import skt_ext  # noqa: F401  (registers the operators)
from skt_ext import reference
from tests.support.random_features import on_every_device

op = torch.ops.skt_ext.density_splat
SIZES = [(1, 1), (1, 13), (17, 1), (31, 23), (64, 48)]


def crowd(
    height: int, width: int, people: int, device: str, *, kernels: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """People in and around the image, some on corners; widths from a fraction of a pixel to the image."""
    generator = torch.Generator().manual_seed(people)
    size = torch.tensor([width, height], dtype=torch.float64)
    points = torch.rand(people, kernels, 2, generator=generator, dtype=torch.float64) * (size + 4) - 2
    points[: people // 4] = points[: people // 4].floor()
    sigma = 10 ** (torch.rand(people, kernels, 2, generator=generator, dtype=torch.float64) * 3 - 1.5)
    return points.to(device), sigma.to(device)


def region(images: int, height: int, width: int, device: str) -> torch.Tensor:
    """Noise, but for a left half that is all inside: kernels cut, whole, and gone."""
    roi = torch.rand(images, height, width, generator=torch.Generator().manual_seed(1)) > 0.3
    roi[..., : width // 2] = True
    return roi.to(device)


@on_every_device
@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("with_roi", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("people", [0, 1, 40])
def test_equals_the_reference(size, people, with_roi, conserve, device):
    points, sigma = crowd(*size, people, device)
    offsets = torch.tensor([0, people], device=device)
    roi = region(1, *size, device) if with_roi else None
    for stride in (1, 3):
        arguments = (points, sigma, offsets, *size, stride, 4.0, conserve, False, roi)
        density = op(*arguments)
        assert density.dtype == torch.float32
        assert density.shape == (1, -(-size[0] // stride), -(-size[1] // stride))
        torch.testing.assert_close(density, reference.density_splat(*arguments), rtol=1e-5, atol=2e-7)
        assert torch.equal(density, op(*arguments))


@on_every_device
@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("kernels", [1, 2, 3])
@pytest.mark.parametrize("subpixel", [False, True])
def test_batches_of_people_of_several_kernels(kernels, subpixel, conserve, device):
    points, sigma = crowd(19, 26, 30, device, kernels=kernels)
    offsets = torch.tensor([0, 12, 12, 29, 30], device=device)  # a crowd, nobody, a crowd, one person
    for roi in (None, region(4, 19, 26, device)):
        for stride in (1, 8):
            arguments = (points, sigma, offsets, 19, 26, stride, 3.0, conserve, subpixel, roi)
            maps = op(*arguments)
            torch.testing.assert_close(maps, reference.density_splat(*arguments), rtol=1e-5, atol=2e-7)
            assert maps[1].eq(0).all()


@on_every_device
def test_by_hand(device):
    # sigma 0.5, truncate 2: radius int(2 * 0.5 + 0.5) = 1; profile e^-2, 1, e^-2 over its sum 1 + 2 e^-2.
    # One row only, the person in column 0: the map keeps the centre row's factor 1 / s and columns 0 and 1.
    e = math.exp(-2)
    s = 1 + 2 * e
    points = torch.tensor([[[0.9, 0.2]]], dtype=torch.float64, device=device)
    sigma = torch.full((1, 1, 2), 0.5, dtype=torch.float64, device=device)
    offsets = torch.tensor([0, 1], device=device)

    def row(stride, conserve, subpixel=False):
        return op(points, sigma, offsets, 1, 4, stride, 2.0, conserve, subpixel, None).cpu()[0]

    torch.testing.assert_close(row(1, False), torch.tensor([[1 / s**2, e / s**2, 0.0, 0.0]]))
    torch.testing.assert_close(row(1, True), torch.tensor([[1 / (1 + e), e / (1 + e), 0.0, 0.0]]))
    torch.testing.assert_close(row(2, False), torch.tensor([[(1 + e) / s**2, 0.0]]))
    # 0.4 pixels right of the middle of pixel 0 and 0.6 left of that of pixel 1: exp(-2 * 0.16), exp(-2 * 0.36)
    a, b = math.exp(-0.32), math.exp(-0.72)
    torch.testing.assert_close(row(1, True, subpixel=True), torch.tensor([[a / (a + b), b / (a + b), 0, 0]]))


@on_every_device
def test_a_narrow_kernel_between_two_pixels_is_not_lost(device):
    points = torch.tensor([[[2.0, 3.0]]], dtype=torch.float64, device=device)  # a corner of four pixels
    sigma = torch.full((1, 1, 2), 1e-3, dtype=torch.float64, device=device)
    offsets = torch.tensor([0, 1], device=device)
    for conserve in (False, True):
        assert op(points, sigma, offsets, 5, 5, 1, 4.0, conserve, True, None).sum() == 1


@pytest.mark.parametrize("conserve", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(conserve):
    points, sigma = crowd(64, 48, 200, "cpu", kernels=2)
    offsets = torch.tensor([0, 150, 200])
    threads = torch.get_num_threads()
    try:
        maps = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            maps.append(op(points, sigma, offsets, 64, 48, 1, 4.0, conserve, False, None))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])
