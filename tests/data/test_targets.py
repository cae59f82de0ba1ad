"""Targets made from points: mass, crops, strides, widths."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_crowd.data import SigmaRule, make_density, make_target
from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box, points_inside


def random_people(seed: int, shape: tuple[int, int], people: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.random((people, 2)) * (shape[1], shape[0])
    return points, rng.uniform(0.5, 6.0, people)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    height=st.integers(1, 61),
    width=st.integers(1, 61),
    people=st.integers(0, 12),
    stride=st.sampled_from([1, 3, 8]),
)
def test_the_whole_image_sums_to_its_people(seed, height, width, people, stride):
    points, sigma = random_people(seed, (height, width), people)
    target = make_target(points, sigma, (height, width), stride=stride)
    assert target.dtype == torch.float32
    assert tuple(target.shape) == (-(-height // stride), -(-width // stride))
    assert target.sum().item() == pytest.approx(people, abs=1e-4)
    assert (target >= 0).all()


def test_clip_loses_people_at_the_border():
    points, sigma = np.array([[0.5, 0.5], [20.5, 20.5]]), np.array([3.0, 3.0])
    target = make_target(points, sigma, (41, 41), boundary="clip")
    # Of the one in pixel (0, 0), the quarter of the kernel to the right and below stays, its centre included.
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2)
    kept = (kernel[12:].sum() / kernel.sum()) ** 2
    assert target.sum().item() == pytest.approx(1 + kept, abs=1e-5)


def test_clip_is_one_gaussian_filter_for_each_person():
    shape = (37, 45)
    points, sigma = random_people(3, shape, 6)
    expected = np.zeros(shape)
    for (x, y), width in zip(points, sigma, strict=True):
        single = np.zeros(shape)
        single[int(y), int(x)] = 1
        expected += scipy.ndimage.gaussian_filter(single, width, mode="constant", truncate=4.0)
    density = make_density(points, sigma, shape, boundary="clip")
    np.testing.assert_allclose(density.numpy(), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    top=st.integers(0, 40),
    left=st.integers(0, 40),
    side=st.integers(1, 40),
    boundary=st.sampled_from(["conserve", "clip"]),
)
def test_a_box_is_cut_from_the_whole_map(seed, top, left, side, boundary):
    shape = (48, 56)
    points, sigma = random_people(seed, shape, 9)
    whole = make_density(points, sigma, shape, boundary=boundary)
    box = Box(top, left, top + side, left + side)
    expected = torch.zeros(side, side)
    inside = whole[box.top : box.bottom, box.left : box.right]
    expected[: inside.shape[0], : inside.shape[1]] = inside
    cut = make_density(points, sigma, shape, box=box, boundary=boundary)
    assert tuple(cut.shape) == (side, side)
    torch.testing.assert_close(cut, expected, rtol=0, atol=1e-6)


def test_a_crop_holds_the_people_whose_kernels_it_holds():
    points = np.array([[30.5, 30.5], [40.5, 35.5], [90.5, 90.5], [62.5, 30.5]])
    sigma = np.array([2.0, 1.5, 2.0, 2.0])  # kernels of 8, 6, 8 and 8 pixels to each side
    target = make_target(points, sigma, (100, 100), box=Box(16, 16, 64, 64))
    alone = make_target(points[3:], sigma[3:], (100, 100), box=Box(16, 16, 64, 64))
    assert target.sum().item() == pytest.approx(2 + alone.sum().item(), abs=1e-5)
    assert 0.5 < alone.sum().item() < 1  # reaches over the right edge, at x = 64


def test_cells_are_sums_of_pixels():
    points = np.array([[1.0, 1.0], [9.0, 1.0], [9.0, 1.0]])
    target = make_target(points, np.full(3, 0.01), (9, 17), stride=8)  # kernels of a single pixel
    assert target.tolist() == [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]


def test_points_inside_a_box():
    points = np.array([[2.0, 3.0], [6.0, 3.0], [5.9, 7.9], [1.9, 3.0]])
    assert points_inside(points, Box(3, 2, 8, 6)).tolist() == [[0.0, 0.0], pytest.approx([3.9, 4.9])]


def test_adaptive_widths():
    rule = SigmaRule(beta=0.5, neighbors=1, fallback=9.0, minimum=0.7, maximum=3.0)
    points = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 100.0]])
    # Nearest neighbours at 4, 0, 0 and 100: half of them, between 0.7 and 3.
    assert rule.sigmas(points).tolist() == [2.0, 0.7, 0.7, 3.0]
    assert rule.sigmas(points[:1]).tolist() == [9.0]
    assert rule.sigmas(points[:0]).shape == (0,)


@pytest.mark.parametrize("people", [0, 1, 2, 3, 4])
def test_few_people_are_no_special_case(people):
    points, _ = random_people(1, (50, 50), people)
    sigma = SigmaRule().sigmas(points)
    assert sigma.dtype == np.float64
    assert np.isfinite(sigma).all()
    assert make_target(points, sigma, (50, 50)).sum().item() == pytest.approx(people, abs=1e-4)


def test_fixed_widths():
    assert SigmaRule(kind="fixed", value=4.0).sigmas(np.zeros((3, 2))).tolist() == [4.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "magic"}, "kind: expected 'adaptive', 'fixed' or 'perspective', got 'magic'"),
        ({"beta": 0.0}, r"beta: expected greater than 0, got 0\.0"),
        ({"neighbors": -1}, "neighbors: expected greater than or equal to 1, got -1"),
        ({"value": float("nan")}, "value: expected a finite number, got nan"),
        ({"minimum": float("inf")}, "minimum: expected a finite number, got inf"),
        ({"minimum": 2.0, "maximum": 1.0}, r"maximum: expected at least the minimum 2\.0, got 1\.0"),
        ({"wide": 2.0}, "wide: unknown key"),
    ],
)
def test_rules_that_make_no_sense(arguments, message):
    with pytest.raises(UsageError, match=message):
        SigmaRule(**arguments)
