import math

import numpy as np
import pytest
import torch

gaussian_filter = pytest.importorskip("scipy.ndimage").gaussian_filter

SHAPE = (61, 47)


@pytest.fixture
def splat(ops):
    """One map of one kernel a person: splat(points, sigma, height, width, truncate, conserve, roi)."""

    def call(points, sigma, height, width, truncate, conserve, roi):
        offsets = torch.tensor([0, len(points)])
        widths = sigma[:, None, None].expand(-1, 1, 2)
        roi = None if roi is None else roi[None]
        return ops.density_splat(
            points[:, None], widths, offsets, height, width, 1, truncate, conserve, False, roi
        )[0]

    return call


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
def test_clip_is_scipys_gaussian_filter(splat, truncate):
    points, sigma = crowd()
    expected = sum(windows(points, sigma, SHAPE, truncate))
    result = splat(points, sigma, *SHAPE, truncate, False, None)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


def test_conserve_gives_each_person_one(splat):
    points, sigma = crowd()
    expected = sum(window / window.sum() for window in windows(points, sigma, SHAPE))
    result = splat(points, sigma, *SHAPE, 4.0, True, None)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)
    for i in range(len(points)):
        alone = splat(points[i : i + 1], sigma[i : i + 1], *SHAPE, 4.0, True, None)
        assert alone.double().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("conserve", [False, True])
def test_region_of_interest(splat, conserve):
    points, sigma = crowd()
    roi = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) > 0.3
    inside = [i for i, (x, y) in enumerate(points.tolist()) if roi[int(y), int(x)]]
    assert 0 < len(inside) < len(points)
    expected = np.zeros(SHAPE)
    for window in windows(points[inside], sigma[inside], SHAPE):
        masked = window * roi.numpy()
        expected += masked / masked.sum() if conserve else masked
    result = splat(points, sigma, *SHAPE, 4.0, conserve, roi)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)
    assert torch.count_nonzero(result[~roi]) == 0
    if conserve:
        assert result.double().sum().item() == pytest.approx(len(inside), abs=1e-5)
    strided = roi.t().contiguous().t()
    assert torch.equal(result, splat(points, sigma, *SHAPE, 4.0, conserve, strided))


def test_points_outside_contribute_nothing(splat):
    height, width = SHAPE
    points = torch.tensor(
        [[-0.1, 3.0], [3.0, -1e-9], [float(width), 3.0], [3.0, float(height)], [1e300, -1e300]],
        dtype=torch.float64,
    )
    result = splat(points, torch.full((5,), 2.0, dtype=torch.float64), *SHAPE, 4.0, False, None)
    assert torch.count_nonzero(result) == 0


def test_a_point_stands_in_the_pixel_that_contains_it(splat):
    points = torch.tensor([[6.999, 4.0]], dtype=torch.float64)
    result = splat(points, torch.tensor([0.1], dtype=torch.float64), 9, 9, 4.0, False, None)
    assert result.nonzero().tolist() == [[4, 6]]
    assert result[4, 6] == 1


def test_people_at_one_point_add_up(splat):
    points, sigma = (
        torch.tensor([[5.0, 5.0]] * 3, dtype=torch.float64),
        torch.full((3,), 1.5, dtype=torch.float64),
    )
    one = splat(points[:1], sigma[:1], 11, 11, 4.0, True, None)
    torch.testing.assert_close(splat(points, sigma, 11, 11, 4.0, True, None), 3 * one)


@pytest.mark.parametrize("conserve", [False, True])
def test_window_much_larger_than_the_map(splat, conserve):
    points, sigma = (
        torch.tensor([[2.0, 1.0]], dtype=torch.float64),
        torch.tensor([300.0], dtype=torch.float64),
    )
    result = splat(points, sigma, 4, 5, 4.0, conserve, None).double()
    offsets = torch.arange(-1200, 1201, dtype=torch.float64)
    profile = torch.exp(-0.5 * (offsets / 300) ** 2)
    profile /= profile.sum()
    expected = torch.outer(profile[1199:1203], profile[1198:1203])
    torch.testing.assert_close(result, expected / expected.sum() if conserve else expected, rtol=1e-6, atol=0)


def test_nobody(splat):
    nobody = torch.empty(0, 2, dtype=torch.float64), torch.empty(0, dtype=torch.float64)
    assert torch.equal(splat(*nobody, 3, 4, 4.0, True, None), torch.zeros(3, 4))


def test_strided_points(splat):
    points, sigma = crowd()
    strided = points.t().contiguous().t()
    every_other = sigma.repeat_interleave(2)[::2]
    assert torch.equal(
        splat(strided, every_other, *SHAPE, 4.0, True, None),
        splat(points, sigma, *SHAPE, 4.0, True, None),
    )


@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_the_number_of_threads(splat, on_threads, conserve, masked):
    points, sigma = crowd(300)
    roi = torch.rand(SHAPE) > 0.2 if masked else None
    results = [
        on_threads(count, lambda: splat(points, sigma, *SHAPE, 4.0, conserve, roi)) for count in (1, 2, 3)
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_messages_name_the_argument_and_what_came(ops):
    def call(points=(2, 1, 2), sigma=(2, 1, 2), offsets=(0, 2), size=(4, 4), stride=1, roi=None):
        made = [
            value if isinstance(value, torch.Tensor) else torch.ones(value, dtype=torch.float64)
            for value in (points, sigma)
        ]
        ops.density_splat(*made, torch.tensor(offsets), *size, stride, 4.0, True, False, roi)

    def refused(message, **arguments):
        with pytest.raises(RuntimeError, match=f"^skt_ext::density_splat: {message}"):
            call(**arguments)

    refused(r"points must have the axes \(P, K, 2\), \[x, y\] each; got shape \(2, 2\)", points=(2, 2))
    refused(r"points must have shape \(P, K, 2\) = \(2, 1, 2\); got \(2, 1, 3\)", points=(2, 1, 3))
    refused(r"points must have at least one kernel a person", points=(2, 0, 2))
    refused(r"sigma must have shape \(P, K, 2\) = \(2, 1, 2\); got \(1, 1, 2\)", sigma=(1, 1, 2))
    refused("points must have dtype Double; got Float", points=torch.ones(2, 1, 2))
    widths = torch.ones(2, 1, 2, dtype=torch.float64)
    widths[1, 0, 1] = 0
    refused("sigma must be positive and finite; sigma 1 is 0", sigma=widths)
    refused(
        "sigma must be positive and finite; sigma 1 is nan",
        sigma=widths.clone().fill_(1).index_fill_(0, torch.tensor([1]), math.nan),
    )
    refused(
        r"sigma \* truncate must be at most 1.04858e\+06 pixels; sigma 0 is 1e\+09",
        sigma=widths.clone().fill_(1e9),
    )
    points = torch.ones(2, 1, 2, dtype=torch.float64)
    points[1, 0, 0] = math.nan
    refused(r"points must be finite; point 1 is \(nan, 1\)", points=points)
    refused(r"the map's \(height, width\) must be positive; got \(0, 4\)", size=(0, 4))
    refused("stride must be positive; got 0", stride=0)
    refused(r"offsets must start at 0 and end at P = 2; got \(0, 1\)", offsets=(0, 1))
    refused(r"offsets must not fall; got \(0, 2, 1, 2\)", offsets=(0, 2, 1, 2))
    refused(
        r"roi must have shape \(B, height, width\) = \(1, 4, 4\); got \(1, 4, 5\)",
        roi=torch.ones(1, 4, 5, dtype=torch.bool),
    )
