import math

import numpy as np
import pytest
import torch

gaussian_filter = pytest.importorskip("scipy.ndimage").gaussian_filter

SHAPE = (61, 47)


def crowd(count=40, seed=0, shape=SHAPE, sigmas=(0.3, 9.0)):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 2, generator=generator, dtype=torch.float64) * torch.tensor(shape[::-1])
    return points, torch.rand(count, generator=generator, dtype=torch.float64) * (
        sigmas[1] - sigmas[0]
    ) + sigmas[0]


def windows(points, sigma, shape, truncate=4.0):
    """scipy's truncated Gaussian around each person, one map each, float64."""
    for (x, y), width in zip(points.tolist(), sigma.tolist(), strict=True):
        impulse = np.zeros(shape)
        impulse[int(y), int(x)] = 1
        yield gaussian_filter(impulse, width, mode="constant", truncate=truncate)


@pytest.mark.parametrize("truncate", [4.0, 3.0, 0.0])
def test_clip_is_scipys_gaussian_filter(ops, truncate):
    points, sigma = crowd()
    expected = sum(windows(points, sigma, SHAPE, truncate))
    result = ops.density_splat(points, sigma, *SHAPE, truncate, False, None)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


def test_conserve_gives_each_person_one(ops):
    points, sigma = crowd()
    expected = sum(window / window.sum() for window in windows(points, sigma, SHAPE))
    result = ops.density_splat(points, sigma, *SHAPE, 4.0, True, None)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)
    for i in range(len(points)):
        alone = ops.density_splat(points[i : i + 1], sigma[i : i + 1], *SHAPE, 4.0, True, None)
        assert alone.double().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("conserve", [False, True])
def test_region_of_interest(ops, conserve):
    points, sigma = crowd()
    roi = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) > 0.3
    inside = [i for i, (x, y) in enumerate(points.tolist()) if roi[int(y), int(x)]]
    assert 0 < len(inside) < len(points)
    expected = np.zeros(SHAPE)
    for window in windows(points[inside], sigma[inside], SHAPE):
        masked = window * roi.numpy()
        expected += masked / masked.sum() if conserve else masked
    result = ops.density_splat(points, sigma, *SHAPE, 4.0, conserve, roi)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)
    assert torch.count_nonzero(result[~roi]) == 0
    if conserve:
        assert result.double().sum().item() == pytest.approx(len(inside), abs=1e-5)
    strided = roi.t().contiguous().t()
    assert torch.equal(result, ops.density_splat(points, sigma, *SHAPE, 4.0, conserve, strided))


def test_points_outside_contribute_nothing(ops):
    height, width = SHAPE
    points = torch.tensor(
        [[-0.1, 3.0], [3.0, -1e-9], [float(width), 3.0], [3.0, float(height)], [1e300, -1e300]],
        dtype=torch.float64,
    )
    result = ops.density_splat(points, torch.full((5,), 2.0, dtype=torch.float64), *SHAPE, 4.0, False, None)
    assert torch.count_nonzero(result) == 0


def test_a_point_stands_in_the_pixel_that_contains_it(ops):
    points = torch.tensor([[6.999, 4.0]], dtype=torch.float64)
    result = ops.density_splat(points, torch.tensor([0.1], dtype=torch.float64), 9, 9, 4.0, False, None)
    assert result.nonzero().tolist() == [[4, 6]]
    assert result[4, 6] == 1


def test_people_at_one_point_add_up(ops):
    points, sigma = (
        torch.tensor([[5.0, 5.0]] * 3, dtype=torch.float64),
        torch.full((3,), 1.5, dtype=torch.float64),
    )
    one = ops.density_splat(points[:1], sigma[:1], 11, 11, 4.0, True, None)
    torch.testing.assert_close(ops.density_splat(points, sigma, 11, 11, 4.0, True, None), 3 * one)


@pytest.mark.parametrize("conserve", [False, True])
def test_window_much_larger_than_the_map(ops, conserve):
    points, sigma = (
        torch.tensor([[2.0, 1.0]], dtype=torch.float64),
        torch.tensor([300.0], dtype=torch.float64),
    )
    result = ops.density_splat(points, sigma, 4, 5, 4.0, conserve, None).double()
    offsets = torch.arange(-1200, 1201, dtype=torch.float64)
    profile = torch.exp(-0.5 * (offsets / 300) ** 2)
    profile /= profile.sum()
    expected = torch.outer(profile[1199:1203], profile[1198:1203])
    torch.testing.assert_close(result, expected / expected.sum() if conserve else expected, rtol=1e-6, atol=0)


def test_nobody(ops):
    nobody = torch.empty(0, 2, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    assert torch.equal(ops.density_splat(*nobody, 3, 4, 4.0, True, None), torch.zeros(3, 4))


def test_strided_points(ops):
    points, sigma = crowd()
    strided = points.t().contiguous().t()
    every_other = sigma.repeat_interleave(2)[::2]
    assert torch.equal(
        ops.density_splat(strided, every_other, *SHAPE, 4.0, True, None),
        ops.density_splat(points, sigma, *SHAPE, 4.0, True, None),
    )


@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(ops, on_threads, conserve, masked):
    points, sigma = crowd(300)
    roi = torch.rand(SHAPE) > 0.2 if masked else None
    results = [
        on_threads(count, lambda: ops.density_splat(points, sigma, *SHAPE, 4.0, conserve, roi))
        for count in (1, 2, 3)
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_messages_name_the_argument_and_what_came(ops):
    points, sigma = torch.ones(2, 2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    with pytest.raises(
        RuntimeError,
        match=r"skt_ext::density_splat: points must have shape \(P, 2\) = \(2, 2\); got \(2, 3\)",
    ):
        ops.density_splat(torch.ones(2, 3, dtype=torch.float64), sigma, 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match=r"sigma must have shape \(P,\) = \(2,\); got \(1,\)"):
        ops.density_splat(points, sigma[:1], 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match="points must have dtype Double; got Float"):
        ops.density_splat(points.float(), sigma, 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match="sigma must be positive and finite; sigma 1 is 0"):
        ops.density_splat(points, torch.tensor([1.0, 0.0], dtype=torch.float64), 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match="sigma 0 is nan"):
        ops.density_splat(points, torch.tensor([math.nan, 1.0], dtype=torch.float64), 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match=r"must be at most 1.04858e\+06 pixels; sigma 0 is 1e\+09"):
        ops.density_splat(points, torch.tensor([1e9, 1.0], dtype=torch.float64), 4, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match=r"points must be finite; point 1 is \(nan, 1\)"):
        ops.density_splat(
            torch.tensor([[1, 1], [math.nan, 1]], dtype=torch.float64), sigma, 4, 4, 4.0, True, None
        )
    with pytest.raises(RuntimeError, match=r"the map's \(height, width\) must be positive; got \(0, 4\)"):
        ops.density_splat(points, sigma, 0, 4, 4.0, True, None)
    with pytest.raises(RuntimeError, match=r"roi must have shape \(height, width\) = \(4, 4\); got \(4, 5\)"):
        ops.density_splat(points, sigma, 4, 4, 4.0, True, torch.ones(4, 5, dtype=torch.bool))
