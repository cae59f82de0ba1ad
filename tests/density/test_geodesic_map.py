"""density_map with a geodesic_weight: the invariants of the definition, and rooms, walls and gaps by hand."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from skt_ext.density import density_map, downsample_density
from skt_ext.ops import OPERATORS
from skt_ext.ops.geodesic_splat import geodesic_distance, path_costs
from tests.density.random_crowds import count_inside, crowd, picture, region

sizes = st.integers(1, 22)
seeds = st.integers(0, 2**31)
weights = st.sampled_from([0.0, 0.1, 0.5, 0.9])
sigmas = st.floats(0.2, 6.0)
a_few = settings(max_examples=25, deadline=None)


def one(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[x, y]], dtype=torch.float64)


@a_few
@given(st.integers(0, 6), sizes, sizes, seeds, weights, sigmas, st.sampled_from(["conserve", "clip"]))
def test_equals_the_reference(people, height, width, seed, weight, sigma, boundary):
    points, roi, image = (
        crowd(people, height, width, seed),
        region(height, width, seed),
        picture(2, height, width),
    )
    options = {"boundary": boundary, "roi": roi, "image": image, "geodesic_weight": weight}
    fast = density_map(points, (height, width), sigma, **options)
    exact = density_map(points, (height, width), sigma, backend="reference", **options)
    torch.testing.assert_close(fast, exact, rtol=1e-4, atol=2e-7)


@a_few
@given(st.integers(0, 6), sizes, sizes, seeds, sigmas, st.sampled_from(["conserve", "clip"]))
def test_without_walls_and_changes_it_is_the_plain_gaussian(people, height, width, seed, sigma, boundary):
    points = crowd(people, height, width, seed)
    plain = density_map(points, (height, width), sigma, boundary=boundary)

    def geodesic(weight, **content):
        return density_map(
            points, (height, width), sigma, boundary=boundary, geodesic_weight=weight, **content
        )

    everywhere = torch.ones(height, width, dtype=torch.bool)
    for same in (
        geodesic(0.0),
        geodesic(0.7),
        geodesic(0.0, image=picture(1, height, width)),
        geodesic(0.0, roi=everywhere),
    ):
        torch.testing.assert_close(same, plain, rtol=0, atol=1e-7)
    # A flat image goes through the solver: paths are summed in float32.
    flat = geodesic(0.7, image=torch.full((3, height, width), 0.4))
    torch.testing.assert_close(flat, plain, rtol=1e-4, atol=1e-6)


@a_few
@given(st.integers(0, 9), sizes, sizes, seeds, weights, sigmas)
def test_counts_the_people_in_the_region(people, height, width, seed, weight, sigma):
    points, roi = crowd(people, height, width, seed), region(height, width, seed, share=0.6)
    image = picture(3, height, width, seed)
    density = density_map(points, (height, width), sigma, roi=roi, image=image, geodesic_weight=weight)
    inside = count_inside(points, roi)
    assert density.sum(dtype=torch.float64).item() == pytest.approx(inside, rel=1e-5, abs=1e-9)
    assert density[~roi].eq(0).all()
    assert density.ge(0).all()


@a_few
@given(sizes, sizes, seeds, weights, sigmas)
def test_a_person_stays_in_the_room(height, width, seed, weight, sigma):
    point, roi = crowd(1, height, width, seed), region(height, width, seed, share=0.55)
    image = picture(1, height, width, seed)
    density = density_map(point, (height, width), sigma, roi=roi, image=image, geodesic_weight=weight)
    rooms, _ = label(roi.numpy())  # four neighbours: a diagonal step between two walls would cut a corner
    column, row = point[0].long().tolist()
    same_room = torch.from_numpy(rooms == rooms[row, column]) & roi
    assert density[~same_room].eq(0).all()


@a_few
@given(sizes, sizes, seeds, weights)
def test_no_way_is_shorter_than_the_straight_line(height, width, seed, weight):
    column, row = crowd(1, height, width, seed)[0].long().tolist()
    roi = region(height, width, seed)
    roi[row, column] = True
    distance = geodesic_distance((row, column), roi, picture(2, height, width, seed), weight, 10.0)
    rows = torch.arange(height, dtype=torch.float64)[:, None] - row
    columns = torch.arange(width, dtype=torch.float64)[None] - column
    assert (distance >= torch.hypot(rows, columns)).all()
    # and so no pixel gets more than the plain Gaussian gives it, relative to the person's own pixel
    options = {"roi": roi, "image": picture(2, height, width, seed), "geodesic_weight": weight}
    density = density_map(one(column, row), (height, width), 2.0, **options)
    plain = density_map(one(column, row), (height, width), 2.0)
    assert (density / density[row, column] <= plain / plain[row, column] + 1e-6).all()


@a_few
@given(st.integers(1, 5), sizes, sizes, seeds, weights, sigmas, st.sampled_from(["conserve", "clip"]))
def test_turns_and_flips_with_the_image(people, height, width, seed, weight, sigma, boundary):
    points = crowd(people, height, width, seed).floor() + 0.5
    roi, image = region(height, width, seed), picture(2, height, width, seed)
    options = {"boundary": boundary, "geodesic_weight": weight}
    density = density_map(points, (height, width), sigma, roi=roi, image=image, **options)

    x, y = points.unbind(1)
    mirrored = torch.stack([width - x, y], 1)
    flipped = density_map(mirrored, (height, width), sigma, roi=roi.flip(1), image=image.flip(2), **options)
    torch.testing.assert_close(flipped.flip(1), density, rtol=1e-4, atol=1e-6)

    turned_points = torch.stack([y, width - x], 1)  # a quarter turn to the left, as torch.rot90
    turned = density_map(
        turned_points, (width, height), sigma, roi=roi.rot90(), image=image.rot90(dims=(1, 2)), **options
    )
    torch.testing.assert_close(turned, density.rot90(), rtol=1e-4, atol=1e-6)


@a_few
@given(sizes, sizes, seeds, sigmas)
def test_more_weight_keeps_more_of_a_person_in_place(height, width, seed, sigma):
    point, image = crowd(1, height, width, seed), picture(2, height, width, seed)
    column, row = point[0].long().tolist()
    shares = [
        density_map(point, (height, width), sigma, image=image, geodesic_weight=weight)[row, column].item()
        for weight in (0.0, 0.2, 0.5, 0.8, 0.95)
    ]
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(shares))


def test_more_weight_leaks_less_over_an_edge():
    image = torch.zeros(1, 21, 21)
    image[:, :, 10:] = 0.2
    leaked = [
        density_map(one(7.5, 10.5), (21, 21), 3.0, image=image, geodesic_weight=weight)[:, 10:].sum().item()
        for weight in (0.0, 0.2, 0.5, 0.8)
    ]
    assert leaked[0] > 0.2
    assert leaked[0] > 1.2 * leaked[1] > 1.2 * leaked[2] > 0
    assert leaked[2] > leaked[3]


@a_few
@given(st.integers(0, 6), sizes, sizes, seeds, weights, st.integers(1, 9))
def test_coarse_cells_are_block_sums(people, height, width, seed, weight, stride):
    points, roi = crowd(people, height, width, seed), region(height, width, seed)
    options = {"roi": roi, "image": picture(1, height, width, seed), "geodesic_weight": weight}
    cells = density_map(points, (height, width), 2.0, stride=stride, **options)
    pixels = density_map(points, (height, width), 2.0, **options)
    assert cells.shape == (-(-height // stride), -(-width // stride))
    torch.testing.assert_close(cells, downsample_density(pixels, stride), rtol=1e-5, atol=1e-6)


def wall_with_a_gap(gap: int | None) -> torch.Tensor:
    roi = torch.ones(25, 25, dtype=torch.bool)
    roi[:, 12] = False
    if gap is not None:
        roi[gap, 12] = True
    return roi


def test_a_gap_lets_through_what_can_walk_there():
    def beyond(gap: int | None, weight: float | None = 0.0) -> float:
        density = density_map(one(8.5, 12.5), (25, 25), 3.0, roi=wall_with_a_gap(gap), geodesic_weight=weight)
        assert density.sum().item() == pytest.approx(1, rel=1e-5)
        return float(density[:, 13:].sum())

    assert beyond(None) == 0
    assert beyond(None, weight=None) > 0.05  # the straight line does not see the wall
    assert beyond(12) > 2 * beyond(18) > 0
    assert beyond(12) < beyond(None, weight=None)


def test_a_detour_by_hand():
    # Around the end of a wall from (0, 0) to (0, 2), no corner cut: down, right, right, up = 4 steps where open ground
    # needs 2, so D = 2 + 2.
    roi = torch.tensor([[True, False, True], [True, True, True]])
    distance = geodesic_distance((0, 0), roi, None, 0.3, 10.0)
    assert distance[0, 2].item() == pytest.approx(4)
    assert distance[1, 1].item() == pytest.approx(math.sqrt(2) + 2 - math.sqrt(2))
    assert distance[0, 1] == math.inf
    density = density_map(one(0.5, 0.5), (2, 3), 2.0, roi=roi, geodesic_weight=0.3)
    assert (density[0, 2] / density[0, 0]).item() == pytest.approx(math.exp(-(4**2) / 8), rel=1e-5)


def test_the_price_of_a_change_by_hand():
    # One step of length 1 over a change of 0.5 + 0.25 in two channels, at weight 0.2 and gain 4:
    # 0.8 + 0.2 * 4 * 0.75 = 1.4; as a distance (1.4 - 0.8) / 0.8 = 0.75 more than 1.
    image = torch.tensor([[[0.0, 0.5]], [[1.0, 0.75]]])
    everywhere = torch.ones(1, 2, dtype=torch.bool)
    assert path_costs((0, 0), everywhere, image, 0.2, 4.0).tolist() == [[0.0, pytest.approx(1.4)]]
    density = density_map(one(0, 0), (1, 2), 1.0, image=image, geodesic_weight=0.2, geodesic_gain=4.0)
    assert (density[0, 1] / density[0, 0]).item() == pytest.approx(math.exp(-(1.75**2) / 2), rel=1e-5)


def test_no_path_cuts_a_corner():
    touching_rooms = torch.tensor([[True, False], [False, True]])
    density = density_map(one(0, 0), (2, 2), 1.0, roi=touching_rooms, geodesic_weight=0.0)
    assert density.tolist() == [[1, 0], [0, 0]]


def test_paths_stay_in_the_window():
    # The only way around the wall is longer than the kernel's reach of 4 pixels, so it is not walked.
    roi = wall_with_a_gap(0)
    density = density_map(one(11.5, 20.5), (25, 25), 1.0, roi=roi, geodesic_weight=0.0)
    assert density[:, 12:].eq(0).all()
    assert density.sum().item() == pytest.approx(1)


def test_a_labyrinth_takes_many_sweeps():
    size = 41
    roi = torch.ones(size, size, dtype=torch.bool)
    for row in range(1, size, 2):
        roi[row] = False
        roi[row, 0 if row % 4 == 1 else -1] = True
    turned = roi.T.contiguous()
    for labyrinth in (roi, turned):
        options = {"roi": labyrinth, "geodesic_weight": 0.0}
        density = density_map(one(0, 0), (size, size), 400.0, **options)
        exact = density_map(one(0, 0), (size, size), 400.0, backend="reference", **options)
        torch.testing.assert_close(density, exact, rtol=1e-4, atol=1e-9)
        assert density[-1, -1] > 0


def test_uint8_images_are_shares_of_255():
    image = (picture(3, 12, 9) * 255).to(torch.uint8)
    options = {"sigma": 2.0, "geodesic_weight": 0.5}
    points = crowd(4, 12, 9)
    from_bytes = density_map(points, (12, 9), image=image, **options)
    assert torch.equal(from_bytes, density_map(points, (12, 9), image=image / 255, **options))
    assert torch.equal(from_bytes, density_map(points, (12, 9), image=image.numpy(), **options))
    gray = density_map(points, (12, 9), image=image[0], **options)
    assert torch.equal(gray, density_map(points, (12, 9), image=image[:1], **options))
    assert not torch.equal(gray, from_bytes)


def test_widths_of_each_person_and_nobody():
    options = {"image": picture(1, 15, 15), "geodesic_weight": 0.5}
    points = crowd(3, 15, 15)
    widths = torch.tensor([1.0, 2.0, 3.0])
    together = density_map(points, (15, 15), widths, **options)
    apart = [density_map(points[i : i + 1], (15, 15), float(widths[i]), **options) for i in range(3)]
    torch.testing.assert_close(together, torch.stack(apart).sum(0))
    assert density_map(torch.zeros(0, 2), (15, 15), 1.0, **options).eq(0).all()


def test_bits_do_not_depend_on_the_number_of_threads():
    points, options = (
        crowd(60, 50, 70),
        {"image": picture(3, 50, 70), "roi": region(50, 70), "geodesic_weight": 0.4},
    )
    threads = torch.get_num_threads()
    try:
        maps = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            maps.append(density_map(points, (50, 70), 3.0, **options))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


def test_the_reference_operator_takes_batches():
    points, sigma = crowd(5, 9, 8), torch.full((5,), 1.5, dtype=torch.float64)
    roi, image = (
        torch.stack([region(9, 8, 1), region(9, 8, 2)]),
        torch.stack([picture(1, 9, 8, 1), picture(1, 9, 8, 2)]),
    )
    arguments = (points, sigma, torch.tensor([0, 3, 5]), 9, 8, 2, 4.0, True, roi, image, 0.3, 10.0)
    maps = OPERATORS["geodesic_splat"].reference(*arguments)
    torch.testing.assert_close(torch.ops.skt_ext.geodesic_splat(*arguments), maps, rtol=1e-4, atol=2e-7)
    for i, people in enumerate((slice(0, 3), slice(3, 5))):
        alone = density_map(
            points[people], (9, 8), 1.5, roi=roi[i], image=image[i], geodesic_weight=0.3, stride=2
        )
        torch.testing.assert_close(alone, maps[i], rtol=1e-4, atol=2e-7)
