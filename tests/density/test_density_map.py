"""density_map: equal to scipy's Gaussian filter, conserving people, for any crowd, border, ROI and width."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from skt_ext import _library, density
from skt_ext.density import density_map, geometry_adaptive_sigma
from tests.density.random_crowds import region

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
BACKENDS = ["auto", "reference", *(["native"] if _library.load() is None else [])]
on_every_device = pytest.mark.parametrize("device", DEVICES)
with_every_backend = pytest.mark.parametrize("backend", ["auto", "reference"])
under_every_rule = pytest.mark.parametrize("boundary", density.BOUNDARIES)


def crowd(people: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height], dtype=torch.float64)
    return torch.rand(people, 2, generator=generator, dtype=torch.float64) * size


def scipy_map(
    points: torch.Tensor, shape: tuple[int, int], sigmas: list[float], truncate: float
) -> torch.Tensor:
    """One filtered delta image for each person, as the data sets' own scripts do it."""
    total = np.zeros(shape)
    for (x, y), sigma in zip(points.tolist(), sigmas, strict=True):
        delta = np.zeros(shape)
        delta[math.floor(y), math.floor(x)] = 1
        total += gaussian_filter(delta, sigma, mode="constant", truncate=truncate)
    return torch.from_numpy(total).float()


@on_every_device
@with_every_backend
@pytest.mark.parametrize("truncate", [4.0, 2.5])
@pytest.mark.parametrize("shape", [(41, 57), (1, 30), (23, 1), (1, 1)], ids=str)
def test_clip_equals_scipy(shape, truncate, backend, device):
    points = crowd(12, *shape)
    sigma = geometry_adaptive_sigma(points)
    result = density_map(
        points.to(device), shape, sigma.to(device), truncate=truncate, boundary="clip", backend=backend
    )
    assert result.device.type == device
    expected = scipy_map(points, shape, sigma.tolist(), truncate)
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-6, atol=1e-6)


@with_every_backend
@under_every_rule
def test_one_person_by_hand(boundary, backend):
    # sigma 1, truncate 1: radius 1; profile 0.60653, 1, 0.60653 over 2.21306 = 0.27407, 0.45186, 0.27407.
    # In the corner of a 2x2 image "clip" keeps the 2x2 quarter of the outer product: 0.45186^2 = 0.20418,
    # 0.45186 * 0.27407 = 0.12384, 0.27407^2 = 0.07511; "conserve" divides by their sum, 0.72593^2 = 0.52698.
    quarter = torch.tensor([[0.20418, 0.12384], [0.12384, 0.07511]])
    expected = quarter if boundary == "clip" else quarter / 0.52698
    result = density_map(
        torch.tensor([[0.5, 0.5]]), (2, 2), 1.0, truncate=1.0, boundary=boundary, backend=backend
    )
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-5)


@with_every_backend
@under_every_rule
def test_nobody_is_an_empty_map(boundary, backend):
    for points in (torch.zeros(0, 2), np.zeros((0, 2))):
        result = density_map(points, (5, 7), 2.0, boundary=boundary, backend=backend)
        assert result.shape == (5, 7)
        assert result.dtype == torch.float32
        assert result.sum() == 0
    assert density_map(torch.zeros(0, 2), (5, 7), torch.zeros(0), boundary=boundary).sum() == 0


@with_every_backend
@pytest.mark.parametrize("people", [1, 2, 3, 60])
def test_conserve_counts_everybody(people, backend):
    points = crowd(people, 37, 53)
    result = density_map(points, (37, 53), geometry_adaptive_sigma(points), backend=backend)
    assert result.sum().item() == pytest.approx(people, rel=1e-5)
    assert (result >= 0).all()


@with_every_backend
@pytest.mark.parametrize(
    "point", [(0, 0), (0.999, 0.999), (52.999, 0), (0, 36.999), (52.999, 36.999), (26, 18)], ids=str
)
def test_conserve_gives_a_person_at_the_border_weight_one(point, backend):
    result = density_map(torch.tensor([point], dtype=torch.float64), (37, 53), 5.0, backend=backend)
    assert result.sum().item() == pytest.approx(1, rel=1e-5)
    row, column = divmod(int(result.argmax()), 53)
    assert (column, row) == (math.floor(point[0]), math.floor(point[1]))


@with_every_backend
def test_clip_loses_what_lies_beyond_the_border(backend):
    inside = density_map(torch.tensor([[50.0, 50.0]]), (100, 100), 4.0, boundary="clip", backend=backend)
    corner = density_map(torch.tensor([[0.0, 0.0]]), (100, 100), 4.0, boundary="clip", backend=backend)
    assert inside.sum().item() == pytest.approx(1, rel=1e-5)
    assert 0.25 < corner.sum().item() < 0.31


@with_every_backend
@under_every_rule
def test_points_outside_contribute_nothing(boundary, backend):
    inside = crowd(5, 20, 30)
    # x = 30 and y = 20 are the first coordinates outside a map of 20 rows and 30 columns
    outside = torch.tensor([[-0.001, 5], [30.0, 5], [5, -0.17], [5, 20.0], [-358.7, 5], [402.5, 702.5]])
    mixed = torch.cat([outside[:3].double(), inside, outside[3:].double()])
    with_outside = density_map(mixed, (20, 30), 3.0, boundary=boundary, backend=backend)
    assert torch.equal(with_outside, density_map(inside, (20, 30), 3.0, boundary=boundary, backend=backend))


@with_every_backend
@under_every_rule
def test_people_at_the_same_place_add_up(boundary, backend):
    point = torch.tensor([[7.5, 3.2]])
    single = density_map(point, (15, 12), 2.0, boundary=boundary, backend=backend)
    triple = density_map(point.repeat(3, 1), (15, 12), 2.0, boundary=boundary, backend=backend)
    torch.testing.assert_close(triple, 3 * single)


@with_every_backend
def test_one_width_for_all_equals_the_same_width_for_each(backend):
    points = crowd(9, 25, 31)
    single = density_map(points, (25, 31), 2.5, backend=backend)
    assert torch.equal(single, density_map(points, (25, 31), torch.full((9,), 2.5), backend=backend))
    assert torch.equal(single, density_map(points, (25, 31), np.full(9, 2.5), backend=backend))
    assert torch.equal(single, density_map(points.numpy(), (25, 31), np.float32(2.5), backend=backend))


@with_every_backend
def test_a_tiny_width_is_one_pixel_and_a_huge_one_is_flat(backend):
    tiny = density_map(torch.tensor([[2.7, 1.2]]), (3, 4), 0.01, backend=backend)
    expected = torch.zeros(3, 4)
    expected[1, 2] = 1
    assert torch.equal(tiny, expected)
    huge = density_map(torch.tensor([[2.7, 1.2]]), (3, 4), 10_000.0, backend=backend)
    torch.testing.assert_close(huge, torch.full((3, 4), 1 / 12))


class TestRegionOfInterest:
    def region(self) -> torch.Tensor:
        roi = torch.zeros(20, 30, dtype=torch.bool)
        roi[4:15, 6:25] = True
        roi[8:10, 6:20] = False
        return roi

    @with_every_backend
    def test_conserve_counts_the_people_inside(self, backend):
        points, roi = crowd(80, 20, 30), self.region()
        inside = int(roi[points[:, 1].long(), points[:, 0].long()].sum())
        assert 0 < inside < 80
        result = density_map(points, (20, 30), 3.0, roi=roi, backend=backend)
        assert result.sum().item() == pytest.approx(inside, rel=1e-5)
        assert result[~roi].eq(0).all()

    @with_every_backend
    def test_clip_is_the_masked_map_of_the_people_inside(self, backend):
        points, roi = crowd(80, 20, 30), self.region()
        inside = points[roi[points[:, 1].long(), points[:, 0].long()]]
        result = density_map(points, (20, 30), 3.0, boundary="clip", roi=roi, backend=backend)
        whole = density_map(inside, (20, 30), 3.0, boundary="clip", backend=backend)
        torch.testing.assert_close(result, whole * roi)

    @with_every_backend
    @under_every_rule
    def test_arrays_and_trivial_regions(self, boundary, backend):
        points = crowd(10, 20, 30)
        options = {"boundary": boundary, "backend": backend}
        from_array = density_map(points, (20, 30), 3.0, roi=self.region().numpy(), **options)
        assert torch.equal(from_array, density_map(points, (20, 30), 3.0, roi=self.region(), **options))
        everything = density_map(points, (20, 30), 3.0, roi=torch.ones(20, 30, dtype=torch.bool), **options)
        torch.testing.assert_close(everything, density_map(points, (20, 30), 3.0, **options))
        nothing = density_map(points, (20, 30), 3.0, roi=torch.zeros(20, 30, dtype=torch.bool), **options)
        assert nothing.eq(0).all()


@with_every_backend
@under_every_rule
def test_flips_with_the_image(boundary, backend):
    points = crowd(15, 21, 33).floor() + 0.5
    result = density_map(points, (21, 33), 3.0, boundary=boundary, backend=backend)
    mirrored = torch.stack([33 - points[:, 0], points[:, 1]], 1)
    flipped = density_map(mirrored, (21, 33), 3.0, boundary=boundary, backend=backend)
    torch.testing.assert_close(flipped, result.flip(1))
    transposed = density_map(points.flip(1), (33, 21), 3.0, boundary=boundary, backend=backend)
    torch.testing.assert_close(transposed, result.T)


@on_every_device
@pytest.mark.parametrize("backend", BACKENDS)
@under_every_rule
def test_two_runs_are_bit_identical(boundary, backend, device):
    if backend == "native" and _library.BACKENDS["density_splat"][device] != "native":
        pytest.skip(f"no native density kernel for {device}")
    points = crowd(50, 40, 60).to(device)
    maps = [density_map(points, (40, 60), 3.0, boundary=boundary, backend=backend) for _ in range(2)]
    assert torch.equal(*maps)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31), st.floats(0.05, 50))
def test_mass_is_conserved_for_any_crowd(people, height, width, seed, sigma):
    result = density_map(crowd(people, height, width, seed), (height, width), sigma)
    assert result.sum(dtype=torch.float64).item() == pytest.approx(people, rel=1e-5, abs=1e-6)


@on_every_device
@with_every_backend
@pytest.mark.parametrize("sigma", [5e-324, 1e-200, 1e-6, 1e-3])
@pytest.mark.parametrize("truncate", [1e-300, 4.0, 4000.0])
def test_a_kernel_narrower_than_a_pixel_is_one_pixel(backend, sigma, truncate, device):
    points = crowd(30, 9, 12).to(device)
    options = {"truncate": truncate, "backend": backend}
    for subpixel in (False, True):
        result = density_map(points, (9, 12), sigma, subpixel=subpixel, **options)
        torch.testing.assert_close(result, density_map(points, (9, 12), 0.01, backend="reference"))


@pytest.mark.parametrize("stride", [13, 2**31, 2**63 - 1, 10**30])
@pytest.mark.parametrize(
    "options", [{}, {"roi": region(9, 12), "geodesic_weight": 0.0}], ids=["plain", "geodesic"]
)
def test_a_cell_larger_than_the_map_holds_all_of_it(stride, options):
    whole = density_map(crowd(5, 9, 12), (9, 12), 2.0, **options).sum()
    cell = density_map(crowd(5, 9, 12), (9, 12), 2.0, stride=stride, **options)
    assert cell.shape == (1, 1)
    torch.testing.assert_close(cell.sum(), whole)


def test_views_and_numbers_of_numpy():
    points = crowd(4, 9, 12)
    shape, stride = (np.int64(9), np.int32(12)), np.uint8(2)
    backwards = points.numpy()[::-1]
    assert torch.equal(
        density_map(backwards, shape, np.ones(4)[::-1], stride=stride),
        density_map(backwards.copy(), (9, 12), 1.0, stride=2),
    )
    # Of one column numpy says that it is contiguous, whatever its step.
    image, roi = np.random.default_rng(0).random((3, 9, 2)), np.array([[True, False]] * 9)
    options = {"geodesic_weight": 0.5, "image": image[:, :, ::-2], "roi": roi[:, -2::-2]}
    copies = {**options, "image": image[:, :, ::-2].copy(), "roi": roi[:, -2::-2].copy()}
    column = points[points[:, 0] < 1]
    assert torch.equal(
        density_map(column, (9, 1), 1.0, **options), density_map(column, (9, 1), 1.0, **copies)
    )
    image.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        density_map(points, (9, 2), 1.0, image=image, geodesic_weight=0.5)


def test_native_backend_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setitem(_library.BACKENDS, "density_splat", {"cpu": "reference", "cuda": "reference"})
    monkeypatch.setattr(_library, "load", lambda: "SKT_EXT_NO_NATIVE is set")
    message = "density_map has no native kernel here: SKT_EXT_NO_NATIVE is set"
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        density_map(torch.zeros(1, 2), (2, 2), 1.0, backend="native")


ONE = torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: density_map([[0, 0]], (2, 2), 1.0),
            TypeError,
            "points must be a tensor or an array of numbers (P, 2) of [x, y], got list",
        ),
        (
            lambda: density_map(torch.zeros(2), (2, 2), 1.0),
            ValueError,
            "points must have shape (P, 2), [x, y] in each row, or (P, K, 2) with K kernels per person, got (2,)",
        ),
        (
            lambda: density_map(torch.full((1, 2), torch.inf), (2, 2), 1.0),
            ValueError,
            "points must be finite, got points[0] = [inf, inf]",
        ),
        (lambda: density_map(ONE, (2, 2, 1), 1.0), ValueError, "shape must be (H, W), got (2, 2, 1)"),
        (lambda: density_map(ONE, 5, 1.0), ValueError, "shape must be (H, W), got 5"),
        (lambda: density_map(ONE, (2, 0), 1.0), ValueError, "shape[1] must be at least 1, got 0"),
        (lambda: density_map(ONE, (2.0, 2), 1.0), TypeError, "shape[0] must be a whole number, got float"),
        (lambda: density_map(ONE, (2, 2), 0.0), ValueError, "sigma must be finite and above 0, got 0.0"),
        (
            lambda: density_map(ONE, (2**31, 2**31), 1.0),
            ValueError,
            "shape must be (H, W) of at most 2^23 pixels each, got 2147483648 x 2147483648",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, geodesic_gain=1e300),
            ValueError,
            "geodesic_gain * geodesic_weight / (1 - geodesic_weight) must be at most 1e+30, got 1e+300",
        ),
        (
            lambda: torch.func.jvp(lambda points: density_map(points, (2, 2), 1.0), (ONE,), (ONE,)),
            NotImplementedError,
            "skt_ext::density_splat has no forward-mode derivative (torch.func.jvp)",
        ),
        (
            lambda: density_map(ONE, (2, 2), "wide"),
            TypeError,
            "sigma must be a tensor or an array of numbers (P,), or a number, got str",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.ones(2)),
            ValueError,
            "sigma must be a number or have shape (P,) = (1,) or (P, 2) = (1, 2), got (2,)",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.tensor([-1.0])),
            ValueError,
            "sigma must be above 0 and truncate * sigma at most 1000000 pixels, got sigma[0] = -1.0",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.tensor([torch.nan])),
            ValueError,
            "sigma must be above 0 and truncate * sigma at most 1000000 pixels, got sigma[0] = nan",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1e9),
            ValueError,
            "sigma must be above 0 and truncate * sigma at most 1000000 pixels, got sigma[0] = 1000000000.0",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.ones(1, device="meta")),
            ValueError,
            "sigma must be on the device of points, cpu, got meta",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.ones(1, requires_grad=True)),
            ValueError,
            "sigma requires a gradient, which skt_ext does not compute: pass sigma.detach()",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, truncate=0),
            ValueError,
            "truncate must be finite and above 0, got 0",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, boundary="reflect"),
            ValueError,
            "boundary must be one of 'conserve', 'clip', got 'reflect'",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, backend="cuda"),
            ValueError,
            "backend must be one of 'auto', 'native', 'reference', got 'cuda'",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, roi=[[True]]),
            TypeError,
            "roi must be a bool tensor or array (H, W), got list",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, roi=np.ones((2, 2), np.uint8)),
            TypeError,
            "roi must be bool, True where people are counted, got uint8",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, roi=torch.ones(2, 3, dtype=torch.bool)),
            ValueError,
            "roi must have the shape (H, W) of the map, (2, 2), got (2, 3)",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.ones(1, 3)),
            ValueError,
            "sigma must be a number or have shape (P,) = (1,) or (P, 2) = (1, 2), got (1, 3)",
        ),
        (
            lambda: density_map(torch.zeros(1, 2, 2), (2, 2), torch.ones(1)),
            ValueError,
            "sigma must be a number or have shape (P, K) = (1, 2) or (P, K, 2) = (1, 2, 2), got (1,)",
        ),
        (
            lambda: density_map(torch.zeros(1, 0, 2), (2, 2), 1.0),
            ValueError,
            "points must have shape (P, 2), [x, y] in each row, or (P, K, 2) with K kernels per person, got (1, 0, 2)",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, stride=0),
            ValueError,
            "stride must be at least 1, got 0",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, subpixel="yes"),
            TypeError,
            "subpixel must be True or False, got str",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, image=torch.zeros(2, 2)),
            ValueError,
            "image is for geodesic maps: pass a geodesic_weight too",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=1.0),
            ValueError,
            "geodesic_weight must be below 1, got 1",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, geodesic_gain=-1),
            ValueError,
            "geodesic_gain must be finite and at least 0, got -1",
        ),
        (
            lambda: density_map(ONE, (2, 2), torch.tensor([[1.0, 2.0]]), geodesic_weight=0.5),
            ValueError,
            "a geodesic map takes one round kernel per person: points (P, 2), and sigma a number or (P,)",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, subpixel=True),
            ValueError,
            "a geodesic map has its kernels at the middle of a pixel: subpixel must be False",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, image=[[0.0]]),
            TypeError,
            "image must be a tensor or array (C, H, W), got list",
        ),
        (
            lambda: density_map(
                ONE, (2, 2), 1.0, geodesic_weight=0.5, image=torch.zeros(2, 2, dtype=torch.int64)
            ),
            TypeError,
            "image must be uint8 or floating point, got torch.int64",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, image=np.zeros((2, 2, 3), np.uint8)),
            ValueError,
            "image must have shape (C, H, W) = (C, 2, 2), got (2, 2, 3)",
        ),
        (
            lambda: density_map(ONE, (2, 2), 1.0, geodesic_weight=0.5, image=torch.full((2, 2), torch.nan)),
            ValueError,
            "image must be finite",
        ),
        (
            lambda: density_map(
                ONE, (2, 2), 1.0, geodesic_weight=0.5, image=torch.zeros(2, 2).requires_grad_()
            ),
            ValueError,
            "image requires a gradient, which skt_ext does not compute: pass image.detach()",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
