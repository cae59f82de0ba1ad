"""Widths other than geometry_adaptive_sigma's: capped, in perspective, head and body, around walls."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_ext.density import (
    geodesic_adaptive_sigma,
    geometry_adaptive_sigma,
    head_and_body,
    nearest_neighbor_sigma,
    perspective_sigma,
)
from skt_ext.ops import OPERATORS
from tests.density.random_crowds import crowd, picture, region


def points(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


PLAIN = torch.ones(20, 40, dtype=torch.bool)


class TestNearestNeighbor:
    def test_nobody_one_two_and_three(self):
        assert nearest_neighbor_sigma(points()).shape == (0,)
        assert nearest_neighbor_sigma(points((3, 4))).tolist() == [30]
        assert nearest_neighbor_sigma(points((3, 4)), maximum=12).tolist() == [12]
        assert nearest_neighbor_sigma(points((0, 0), (3, 4))).tolist() == [5, 5]
        assert nearest_neighbor_sigma(points((0, 0), (3, 4), (3, 44))).tolist() == [5, 5, 30]

    def test_people_at_the_same_place_get_the_minimum(self):
        assert nearest_neighbor_sigma(points((7, 7), (7, 7))).tolist() == [0.5, 0.5]
        assert nearest_neighbor_sigma(points((7, 7), (7, 7)), minimum=2).tolist() == [2, 2]

    def test_a_wrong_bound(self):
        with pytest.raises(ValueError, match=r"^maximum must be at least minimum, 4, got 3$"):
            nearest_neighbor_sigma(points(), maximum=3, minimum=4)


class TestPerspective:
    perspective = torch.tensor([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])

    def test_takes_the_pixel_a_person_stands_in(self):
        people = points((0, 0), (2.9, 0.9), (1.5, 1.0))
        assert perspective_sigma(people, self.perspective).tolist() == pytest.approx([2, 6, 10])
        assert perspective_sigma(people, self.perspective.numpy(), metres=1).tolist() == pytest.approx(
            [10, 30, 50]
        )
        assert perspective_sigma(points(), self.perspective).shape == (0,)

    def test_points_outside_take_the_nearest_pixel(self):
        assert perspective_sigma(points((-5, 9), (9, -5)), self.perspective, metres=1).tolist() == [40, 30]

    def test_head_and_body(self):
        made, sigma = head_and_body(
            points((1.5, 0.5)), self.perspective, head=0.1, body=(0.3, 0.6), body_below=0.5
        )
        assert made.tolist() == [[[1.5, 0.5], [1.5, 10.5]]]
        assert sigma.tolist() == [[[2, 2], [6, 12]]]
        made, sigma = head_and_body(points(), self.perspective)
        assert made.shape == sigma.shape == (0, 2, 2)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda: perspective_sigma(points(), [[1.0]]),
                TypeError,
                "perspective must be a tensor or an array of numbers (H, W), got list",
            ),
            (
                lambda: perspective_sigma(points(), torch.ones(3)),
                ValueError,
                "perspective must have shape (H, W) with at least one pixel, got (3,)",
            ),
            (
                lambda: perspective_sigma(points(), torch.zeros(3, 3)),
                ValueError,
                "perspective must be finite and above 0, in pixels per metre",
            ),
            (
                lambda: perspective_sigma(points(), torch.ones(3, 3), metres=0),
                ValueError,
                "metres must be finite and above 0, got 0",
            ),
            (
                lambda: head_and_body(points(), torch.ones(3, 3), head=0),
                ValueError,
                "head must be finite and above 0, got 0",
            ),
            (
                lambda: head_and_body(points(), torch.ones(3, 3), body=0.5),
                ValueError,
                "body must be two sigmas (across, along), got 0.5",
            ),
            (
                lambda: head_and_body(points(), torch.ones(3, 3), body=(0.2, -1)),
                ValueError,
                "body[1] must be finite and above 0, got -1",
            ),
            (
                lambda: head_and_body(points(), torch.ones(3, 3), body_below=-1),
                ValueError,
                "body_below must be finite and at least 0, got -1",
            ),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    def test_message(self, call, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            call()


class TestGeodesicAdaptive:
    def test_nobody_and_one(self):
        assert geodesic_adaptive_sigma(points(), PLAIN).shape == (0,)
        assert geodesic_adaptive_sigma(points((3, 4)), PLAIN, fallback=7).tolist() == [7]

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 2**31))
    def test_on_open_ground_it_is_geometry_adaptive(self, people, neighbors, seed):
        positions = crowd(people, 20, 40, seed)
        torch.testing.assert_close(
            geodesic_adaptive_sigma(positions, PLAIN, neighbors=neighbors),
            geometry_adaptive_sigma(positions, neighbors=neighbors),
            rtol=1e-6,
            atol=1e-5,
        )

    def test_people_behind_a_wall_do_not_count(self):
        roi = PLAIN.clone()
        roi[:, 20] = False
        positions = points((5.5, 9.5), (11.5, 9.5), (18.5, 9.5), (21.5, 9.5), (22.5, 9.5))
        sigma = geodesic_adaptive_sigma(positions, roi, beta=1, neighbors=2)
        assert sigma.tolist() == pytest.approx([(6 + 13) / 2, (6 + 7) / 2, (7 + 13) / 2, 1, 1])
        roi[0, 20] = True  # a far gap
        around = geodesic_adaptive_sigma(positions, roi, beta=1, neighbors=3)
        assert around[0] > (6 + 13 + 16) / 3

    def test_coincident_people_and_those_outside(self):
        positions = points((5.5, 9.5), (5.5, 9.5), (5.5, 9.5), (50, 5), (5, -1))
        assert geodesic_adaptive_sigma(positions, PLAIN).tolist() == [0.5, 0.5, 0.5, 15, 15]

    def test_an_image_makes_ways_longer(self):
        positions = points((5.5, 9.5), (15.5, 9.5))
        image = torch.zeros(20, 40)
        image[:, 10:] = 0.5
        flat = geodesic_adaptive_sigma(positions, PLAIN, beta=1, image=image)
        # half way over a change of 0.5, at a gain of 10: 5 pixels more
        weighed = geodesic_adaptive_sigma(positions, PLAIN, beta=1, image=image, geodesic_weight=0.5)
        assert flat.tolist() == pytest.approx([10, 10])
        assert weighed.tolist() == pytest.approx([15, 15])

    def test_bounds(self):
        pair = points((5.5, 9.5), (15.5, 9.5))
        assert geodesic_adaptive_sigma(pair, PLAIN, beta=1, maximum=4).tolist() == [4, 4]
        assert geodesic_adaptive_sigma(pair, PLAIN, beta=1, minimum=14).tolist() == [14, 14]

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda: geodesic_adaptive_sigma(points(), None),
                ValueError,
                "roi must be a bool tensor or array (H, W) of at least one pixel, got NoneType",
            ),
            (
                lambda: geodesic_adaptive_sigma(points(), np.ones((2, 2))),
                TypeError,
                "roi must be bool, True where people are counted, got float64",
            ),
            (
                lambda: geodesic_adaptive_sigma(points(), PLAIN, geodesic_weight=1),
                ValueError,
                "geodesic_weight must be below 1, got 1",
            ),
            (
                lambda: geodesic_adaptive_sigma(points(), PLAIN, image=torch.zeros(3, 3)),
                ValueError,
                "image must have shape (C, H, W) = (C, 20, 40), got (3, 3)",
            ),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    def test_message(self, call, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            call()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 8),
    st.integers(1, 15),
    st.integers(1, 15),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.6]),
)
def test_the_operator_equals_the_reference(people, height, width, seed, weight):
    positions = crowd(people, height, width, seed)
    if people > 3:
        positions[1] = positions[0]
        positions[2] = torch.tensor([-1.0, 0.0])
    for roi, image in (
        (None, None),
        (region(height, width, seed)[None], picture(2, height, width, seed)[None]),
    ):
        arguments = (positions, 3, height, width, roi, image, weight, 5.0)
        distances = torch.ops.skt_ext.geodesic_neighbors(*arguments)
        torch.testing.assert_close(
            distances, OPERATORS["geodesic_neighbors"].reference(*arguments), rtol=1e-5, atol=1e-5
        )
        if people > 3:
            assert distances[2].eq(math.inf).all()
