"""Straight kernels beyond the plain map: coarse cells, sub-pixel centres, several kernels per person, batches."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_ext.density import (
    density_map,
    density_maps,
    downsample_density,
    geometry_adaptive_sigma,
    head_and_body,
)
from tests.density.random_crowds import crowd, picture, region

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**31)
boundaries = st.sampled_from(["conserve", "clip"])
some = settings(max_examples=30, deadline=None)


@some
@given(st.integers(0, 8), sizes, sizes, seeds, st.integers(1, 45), boundaries, st.booleans(), st.booleans())
def test_coarse_cells_are_block_sums(people, height, width, seed, stride, boundary, subpixel, with_roi):
    points = crowd(people, height, width, seed)
    options = {
        "boundary": boundary,
        "subpixel": subpixel,
        "roi": region(height, width, seed) if with_roi else None,
    }
    cells = density_map(points, (height, width), 2.5, stride=stride, **options)
    pixels = density_map(points, (height, width), 2.5, **options)
    assert cells.shape == (-(-height // stride), -(-width // stride))
    torch.testing.assert_close(cells, downsample_density(pixels, stride), rtol=1e-5, atol=1e-6)


@some
@given(st.integers(0, 8), sizes, sizes, seeds, st.floats(0.01, 20), st.integers(1, 9))
def test_subpixel_kernels_count_everybody(people, height, width, seed, sigma, stride):
    density = density_map(
        crowd(people, height, width, seed), (height, width), sigma, subpixel=True, stride=stride
    )
    assert density.sum(dtype=torch.float64).item() == pytest.approx(people, rel=1e-5, abs=1e-9)


def test_a_subpixel_kernel_has_its_mean_at_the_point():
    point = torch.tensor([[20.2, 15.9]], dtype=torch.float64)
    density = density_map(point, (32, 40), 3.0, subpixel=True).double()
    middles_x, middles_y = torch.arange(40) + 0.5, torch.arange(32) + 0.5
    mean = [(density.sum(0) * middles_x).sum().item(), (density.sum(1) * middles_y).sum().item()]
    assert mean == pytest.approx([20.2, 15.9], abs=1e-3)  # the square window is around the pixel
    middle_of_a_pixel = torch.tensor([[20.5, 15.5]], dtype=torch.float64)
    torch.testing.assert_close(
        density_map(middle_of_a_pixel, (32, 40), 3.0, subpixel=True), density_map(point, (32, 40), 3.0)
    )


def test_a_long_kernel_is_the_product_of_two_profiles():
    density = density_map(torch.tensor([[10.5, 12.5]]), (25, 21), torch.tensor([[1.0, 3.0]]), boundary="clip")

    def profile(sigma: float, reach: int) -> torch.Tensor:
        values = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
        return values / values.sum()

    expected = torch.zeros(25, 21, dtype=torch.float64)
    expected[0:25, 6:15] = torch.outer(profile(3.0, 12), profile(1.0, 4))
    torch.testing.assert_close(density, expected.float(), rtol=1e-5, atol=1e-7)


@some
@given(st.integers(0, 8), sizes, sizes, seeds, st.floats(0.5, 30))
def test_head_and_body_are_one_person(people, height, width, seed, scale):
    perspective = torch.full((height, width), scale)
    parts, sigma = head_and_body(crowd(people, height, width, seed), perspective)
    density = density_map(parts, (height, width), sigma)
    assert density.sum(dtype=torch.float64).item() == pytest.approx(people, rel=1e-5, abs=1e-9)


def test_head_and_body_are_the_mean_of_both_where_there_is_room():
    points, sigma = head_and_body(torch.tensor([[40.0, 30.0]]), torch.full((100, 80), 10.0))
    together = density_map(points, (100, 80), sigma)
    head = density_map(points[:, 0], (100, 80), sigma[:, 0])
    body = density_map(points[:, 1], (100, 80), sigma[:, 1])
    torch.testing.assert_close(together, (head + body) / 2)


def test_a_person_stands_where_the_head_is():
    points, sigma = head_and_body(torch.tensor([[5.0, 38.0], [5.0, -1.0]]), torch.full((40, 10), 10.0))
    density = density_map(points, (40, 10), sigma)
    # The first body is mostly below the image, which does not cost; the second head is above it, which does.
    assert density.sum().item() == pytest.approx(1, rel=1e-5)
    assert density[:10].eq(0).all()
    roi = torch.ones(40, 10, dtype=torch.bool)
    roi[38] = False
    assert density_map(points, (40, 10), sigma, roi=roi).eq(0).all()


class TestBatches:
    crowds = [crowd(people, 23, 31, people) for people in (7, 0, 1, 12)]  # noqa: RUF012

    @pytest.mark.parametrize("backend", ["auto", "reference"])
    @pytest.mark.parametrize("weight", [None, 0.0, 0.5])
    @pytest.mark.parametrize("stride", [1, 8])
    def test_each_map_is_that_of_its_image(self, stride, weight, backend):
        sigmas = [geometry_adaptive_sigma(points, fallback=2.0).clamp(max=2.0) for points in self.crowds]
        roi = torch.stack([region(23, 31, seed) for seed in range(4)])
        image = torch.stack([picture(1, 23, 31, seed) for seed in range(4)]) if weight is not None else None
        options = {"stride": stride, "geodesic_weight": weight, "backend": backend}
        maps = density_maps(self.crowds, (23, 31), sigmas, roi=roi, image=image, **options)
        assert maps.shape == (4, -(-23 // stride), -(-31 // stride))
        for i, points in enumerate(self.crowds):
            content = {"roi": roi[i], "image": None if image is None else image[i]}
            alone = density_map(points, (23, 31), sigmas[i], **content, **options)
            torch.testing.assert_close(maps[i], alone, rtol=1e-6, atol=1e-7)

    def test_one_width_for_all_and_whole_images(self):
        maps = density_maps(self.crowds, (23, 31), 2.0)
        assert maps.sum((1, 2)).tolist() == pytest.approx([7, 0, 1, 12], rel=1e-5)
        widths = [2.0, torch.zeros(0), torch.tensor([2.0]), torch.full((12, 2), 2.0)]
        torch.testing.assert_close(maps, density_maps(self.crowds, (23, 31), widths))

    def test_people_of_two_kernels(self):
        made = [head_and_body(points, torch.full((23, 31), 4.0)) for points in self.crowds]
        maps = density_maps([points for points, _ in made], (23, 31), [sigma for _, sigma in made])
        assert maps.sum((1, 2)).tolist() == pytest.approx([7, 0, 1, 12], rel=1e-5)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda: density_maps(torch.zeros(1, 2), (2, 2), 1.0),
                ValueError,
                "points must be a list of at least one image's points (P, 2)",
            ),
            (
                lambda: density_maps([], (2, 2), 1.0),
                ValueError,
                "points must be a list of at least one image's points (P, 2)",
            ),
            (
                lambda: density_maps([torch.zeros(1, 2), torch.full((1, 2), math.nan)], (2, 2), 1.0),
                ValueError,
                "points[1] must be finite, got points[1][0] = [nan, nan]",
            ),
            (
                lambda: density_maps([torch.zeros(1, 2), torch.zeros(1, 2, 2)], (2, 2), 1.0),
                ValueError,
                "points[1] must have the K of points[0], 1, and its device, cpu, got K = 2 on cpu",
            ),
            (
                lambda: density_maps([torch.zeros(1, 2)] * 2, (2, 2), [1.0]),
                ValueError,
                "sigma must be a number or hold one entry per image, 2, got 1",
            ),
            (
                lambda: density_maps([torch.zeros(1, 2)] * 2, (2, 2), [1.0, torch.ones(2)]),
                ValueError,
                "sigma[1] must be a number or have shape (P,) = (1,) or (P, 2) = (1, 2), got (2,)",
            ),
            (
                lambda: density_maps(
                    [torch.zeros(1, 2)] * 2, (2, 3), 1.0, roi=torch.ones(2, 3, dtype=torch.bool)
                ),
                ValueError,
                "roi must have the shape (B, H, W) of the maps, (2, 2, 3), got (2, 3)",
            ),
            (
                lambda: density_maps(
                    [torch.zeros(1, 2)] * 2, (2, 3), 1.0, image=torch.zeros(3, 2, 3), geodesic_weight=0.5
                ),
                ValueError,
                "image must have shape (B, C, H, W) = (2, C, 2, 3), got (3, 2, 3)",
            ),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    def test_message(self, call, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            call()
