"""Bootstrap intervals: seeded, and as wide as theory says."""

import numpy as np
import pytest

from skt_crowd.errors import UsageError
from skt_crowd.evaluation import bootstrap_intervals


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(0)
    predicted, actual = rng.random(30), rng.random(30)
    first = bootstrap_intervals(predicted, actual, seed=3)
    assert bootstrap_intervals(predicted, actual, seed=3) == first
    assert bootstrap_intervals(predicted, actual, seed=4) != first


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    """Errors of 0 and 10 alike over 400 images: mean 5, standard error 5 / sqrt(400) = 0.25."""
    actual = np.full(400, 100.0)
    found = bootstrap_intervals(actual + np.tile([0.0, 10.0], 200), actual)
    assert found["mae"] == pytest.approx((5 - 1.96 * 0.25, 5 + 1.96 * 0.25), abs=0.06)
    assert found["nae"] == pytest.approx(np.array(found["mae"]) / 100)
    assert found["rmse"].low < 50**0.5 < found["rmse"].high


def test_many_images_are_drawn_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    predicted, actual = rng.random(50), rng.random(50)
    whole = bootstrap_intervals(predicted, actual, resamples=100)
    monkeypatch.setattr("skt_crowd.evaluation.intervals._CHUNK", 700)
    assert bootstrap_intervals(predicted, actual, resamples=100) == whole


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="counts: expected at least one image, got none"):
        bootstrap_intervals([], [])
    with pytest.raises(
        UsageError, match=r"level and resamples: expected \(0, 1\) and at least 1, got 1.5 and 2000"
    ):
        bootstrap_intervals([1.0], [1.0], level=1.5)
