"""geometry_adaptive_sigma: widths for any number of people, and its messages."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_ext.density import geometry_adaptive_sigma


def points(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def test_nobody():
    assert geometry_adaptive_sigma(points()).shape == (0,)
    assert geometry_adaptive_sigma(points()).dtype == torch.float64


def test_one_person_gets_the_fallback():
    assert geometry_adaptive_sigma(points((3, 4))).tolist() == [15.0]
    assert geometry_adaptive_sigma(points((3, 4)), fallback=7, maximum=2).tolist() == [7.0]


def test_two_people_have_one_neighbour_each():
    # distance 5: 0.3 * 5
    assert geometry_adaptive_sigma(points((0, 0), (3, 4))).tolist() == [1.5, 1.5]


def test_three_people_have_two_neighbours_each():
    # On a line at 0, 10, 30: means (10 + 30) / 2 = 20, (10 + 20) / 2 = 15, (20 + 30) / 2 = 25, times 0.3
    result = geometry_adaptive_sigma(points((0, 0), (10, 0), (30, 0)))
    torch.testing.assert_close(result, torch.tensor([6.0, 4.5, 7.5], dtype=torch.float64))


def test_more_people_take_the_nearest_three():
    # The mean of the first one is (10 + 20 + 30) / 3 = 20; of the last (970 + 980 + 990) / 3 = 980
    result = geometry_adaptive_sigma(points(*((x, 5) for x in (0, 10, 20, 30, 1000))))
    assert result[0].item() == pytest.approx(6.0)
    assert result[4].item() == pytest.approx(294.0)


def test_options():
    line = points((0, 0), (10, 0), (30, 0))
    assert geometry_adaptive_sigma(line, beta=1, neighbors=1).tolist() == [10.0, 10.0, 20.0]
    assert geometry_adaptive_sigma(line, beta=1, neighbors=1, maximum=15).tolist() == [10.0, 10.0, 15.0]
    assert geometry_adaptive_sigma(line, beta=1, neighbors=1, minimum=12).tolist() == [12.0, 12.0, 20.0]


def test_people_at_the_same_place_get_the_minimum():
    same = points(*[(7, 7)] * 5)
    assert geometry_adaptive_sigma(same).tolist() == [0.5] * 5
    # Two of three at one place: neighbours at 0 and 10 -> mean 5; the third has both at 10.
    result = geometry_adaptive_sigma(points((0, 0), (0, 0), (10, 0)), beta=1)
    assert result.tolist() == [5.0, 5.0, 10.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint8, ">f8"])
def test_arrays_and_tensors_of_any_real_dtype(dtype):
    array = np.array([[0, 0], [3, 4], [6, 8]]).astype(dtype)
    expected = [2.25, 1.5, 2.25]
    assert geometry_adaptive_sigma(array).tolist() == pytest.approx(expected)
    assert geometry_adaptive_sigma(array[::-1]).tolist() == pytest.approx(expected)
    assert geometry_adaptive_sigma(torch.tensor(array.astype(int))).tolist() == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**31), st.floats(0.1, 10), st.integers(1, 6))
def test_equals_all_pairs_of_distances(people, seed, scale, neighbors):
    positions = scale * torch.rand(
        people, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    distances = torch.cdist(positions, positions).fill_diagonal_(torch.inf).sort(1).values
    expected = 0.3 * distances[:, : min(neighbors, people - 1)].mean(1)
    result = geometry_adaptive_sigma(positions, neighbors=neighbors, minimum=1e-12)
    torch.testing.assert_close(result, expected)
    doubled = geometry_adaptive_sigma(2 * positions, neighbors=neighbors, minimum=1e-12)
    torch.testing.assert_close(doubled, 2 * result)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: geometry_adaptive_sigma([[1, 2]]),
            TypeError,
            "points must be a tensor or an array of numbers (P, 2) of [x, y], got list",
        ),
        (
            lambda: geometry_adaptive_sigma(np.array([["a", "b"]])),
            TypeError,
            "points must be a tensor or an array of numbers (P, 2) of [x, y], got an array of <U1",
        ),
        (
            lambda: geometry_adaptive_sigma(torch.ones(2, 2, dtype=torch.bool)),
            TypeError,
            "points must be real numbers, got torch.bool",
        ),
        (
            lambda: geometry_adaptive_sigma(torch.ones(2, 3)),
            ValueError,
            "points must have shape (P, 2), [x, y] in each row, got (2, 3)",
        ),
        (
            lambda: geometry_adaptive_sigma(torch.tensor([[0.0, 0.0], [1.0, torch.nan]])),
            ValueError,
            "points must be finite, got points[1] = [1.0, nan]",
        ),
        (
            lambda: geometry_adaptive_sigma(torch.ones(2, 2, requires_grad=True)),
            ValueError,
            "points requires a gradient, which skt_ext does not compute: pass points.detach()",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), beta=0),
            ValueError,
            "beta must be finite and above 0, got 0",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), neighbors=0),
            ValueError,
            "neighbors must be at least 1, got 0",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), neighbors=1.5),
            TypeError,
            "neighbors must be a whole number, got float",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), fallback=float("inf")),
            ValueError,
            "fallback must be finite and above 0, got inf",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), minimum=-1.0),
            ValueError,
            "minimum must be finite and above 0, got -1.0",
        ),
        (
            lambda: geometry_adaptive_sigma(points(), minimum=2.0, maximum=1.0),
            ValueError,
            "maximum must be at least minimum, 2, got 1",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
