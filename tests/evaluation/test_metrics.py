"""Metrics on numbers small enough to check by hand."""

import math

import numpy as np
import pytest

from skt_crowd.errors import UsageError
from skt_crowd.evaluation import mean_absolute_error, normalized_absolute_error, root_mean_squared_error

METRICS = [mean_absolute_error, root_mean_squared_error, normalized_absolute_error]


def test_by_hand() -> None:
    predicted, actual = [12.0, 90.0, 3.0], [10, 100, 0]
    assert mean_absolute_error(predicted, actual) == 5.0  # (2 + 10 + 3) / 3
    assert root_mean_squared_error(predicted, actual) == pytest.approx(math.sqrt(113 / 3))
    assert normalized_absolute_error(predicted, actual) == pytest.approx((0.2 + 0.1) / 2)


def test_counts_of_unsigned_integers_do_not_wrap_around() -> None:
    assert mean_absolute_error(np.array([1], np.uint8), np.array([3], np.uint8)) == 2.0


def test_images_without_people_have_no_share() -> None:
    assert math.isnan(normalized_absolute_error([3.0], [0]))


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input(metric) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=r"^counts: expected at least one image, got none$"):
        metric([], [])
    with pytest.raises(UsageError, match=r"two lists of the same length, got shapes \(2,\) and \(1,\)$"):
        metric([1, 2], [1])
