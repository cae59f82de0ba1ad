"""GAME, PSNR and SSIM against numbers worked out by hand and against their plain definitions."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_crowd.errors import UsageError
from skt_crowd.evaluation import grid_average_errors, peak_signal_to_noise, structural_similarity
from skt_crowd.evaluation.map_quality import enlarge
from skt_crowd.geometry import Box
from skt_crowd.inference import MapPart, Prediction


def prediction(density: np.ndarray, height: int, width: int, stride: int = 8) -> Prediction:
    return Prediction(height, width, (MapPart(density, Box(0, 0, height, width), (stride, stride)),))


def test_game_by_hand() -> None:
    """A 10 x 10 image in two cells of 8 and 2 columns, two rows alike; quarters meet at 5, within the first cell."""
    density = np.array([[8.0, 0.0], [0.0, 0.0]])  # 8 people evenly in the upper left 8 x 8 pixels
    points = np.array([[0.0, 0.0], [9.0, 9.0]])
    game = grid_average_errors(prediction(density, 10, 10), points)
    # quarters: 8 * 25/64 = 3.125, 8 * 15/64 = 1.875 twice, 8 * 9/64 = 1.125
    assert game[0] == pytest.approx(6.0)
    assert game[1] == pytest.approx(abs(3.125 - 1) + 1.875 + 1.875 + abs(1.125 - 1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), height=st.integers(1, 60), width=st.integers(1, 60))
def test_game_grows_with_its_level_and_is_zero_for_the_truth(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((20, 2)) * (width, height)
    random = rng.normal(size=(-(-height // 8), -(-width // 8)))
    game = grid_average_errors(prediction(random, height, width), points)
    assert all(lower <= higher + 1e-9 for lower, higher in pairwise(game))
    assert game[0] == pytest.approx(abs(random.sum() - 20))
    pixels = np.histogram2d(
        points[:, 1], points[:, 0], bins=(height, width), range=((0, height), (0, width))
    )[0]
    # Whole pixels within every part only where 8 divides the sides.
    if height % 8 == 0 and width % 8 == 0:
        assert max(grid_average_errors(prediction(pixels, height, width, 1), points)) < 1e-9


def test_game_of_an_image_without_people() -> None:
    assert grid_average_errors(prediction(np.full((1, 1), 2.0), 8, 8), np.zeros((0, 2))) == pytest.approx(
        (2.0,) * 4
    )


def test_psnr_conventions() -> None:
    truth = np.array([[0.0, 4.0]])
    assert peak_signal_to_noise(truth + 0.4, truth) == pytest.approx(20.0)
    assert peak_signal_to_noise(truth, truth) == math.inf
    assert math.isnan(peak_signal_to_noise(truth, np.zeros((1, 2))))


@pytest.mark.parametrize("window", ["gaussian", "blocks"])
@pytest.mark.parametrize("shape", [(30, 25), (11, 11), (4, 40)])
def test_ssim_is_its_definition(window: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.random(shape), rng.random(shape)
    rows, columns = min(11, shape[0]), min(11, shape[1])
    if window == "gaussian":
        bell = [np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / 4.5) for n in (rows, columns)]
        weights, step = np.outer(*bell), 1
    else:
        weights, step = np.ones((rows, columns)), 11
    weights = weights / weights.sum()
    values = []
    x, y = predicted / truth.max(), truth / truth.max()
    for top in range(0, shape[0] - rows + 1, step):
        for left in range(0, shape[1] - columns + 1, step):
            a, b = (m[top : top + rows, left : left + columns] for m in (x, y))
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            values.append(
                (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
            )
    assert structural_similarity(predicted, truth, window) == pytest.approx(np.mean(values), rel=1e-9)
    assert structural_similarity(truth, truth, window) == pytest.approx(1.0)


def test_ssim_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.random((20, 20)), rng.random((20, 20))
    assert structural_similarity(64 * predicted, 64 * truth) == pytest.approx(
        structural_similarity(predicted, truth)
    )


def test_an_even_crowd_stays_even_when_it_is_enlarged() -> None:
    pixels = enlarge(np.full((2, 3), 64.0), 8, (15, 20))
    assert pixels.shape == (15, 20)
    np.testing.assert_allclose(pixels, 1.0)


def test_bad_maps() -> None:
    with pytest.raises(
        UsageError, match=r"maps: expected two of the same shape \(H, W\), got \(2, 2\) and \(2, 3\)"
    ):
        peak_signal_to_noise(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(UsageError, match="window: expected gaussian or blocks, got 'box'"):
        structural_similarity(np.ones((2, 2)), np.ones((2, 2)), "box")  # type: ignore[arg-type]
