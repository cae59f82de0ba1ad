"""Bootstrap intervals: how far an error may be from that on other images of the same kind."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skt_crowd.errors import UsageError
from skt_crowd.evaluation.metrics import differences

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0

_CHUNK = 4_000_000  # random numbers at a time


class Interval(NamedTuple):
    """Bounds of an error, in its own unit."""

    low: float
    high: float


def bootstrap_intervals(
    predicted: ArrayLike,
    actual: ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Interval]:
    """Percentile intervals of ``mae``, ``rmse`` and ``nae`` over images resampled with replacement (Efron 1979).

    They say how much the error depends on which images were evaluated, and nothing about another training run.

    Args:
        predicted: one count per image, at least one.
        actual: as many true counts.
        level: share of the resamples inside the interval, in (0, 1).
        resamples: number of resamples.
        seed: the same seed gives the same interval.

    Raises:
        UsageError: no images, lists of different lengths, or a number out of range.

    Example:
        >>> bootstrap_intervals([10.0, 30.0], [10, 20])["mae"]
        Interval(low=0.0, high=10.0)
    """
    if not 0 < level < 1 or resamples < 1:
        raise UsageError(f"level and resamples: expected (0, 1) and at least 1, got {level} and {resamples}")
    error, annotated = np.abs(differences(predicted, actual)), np.asarray(actual, dtype=np.float64)
    populated = annotated > 0
    share = np.divide(error, annotated, out=np.zeros_like(error), where=populated)
    statistics: dict[str, Callable[[NDArray[np.int64]], NDArray[np.float64]]] = {
        "mae": lambda drawn: error[drawn].mean(axis=1),
        "rmse": lambda drawn: np.sqrt(np.square(error[drawn]).mean(axis=1)),
        "nae": lambda drawn: share[drawn].sum(axis=1) / np.maximum(populated[drawn].sum(axis=1), 1),
    }
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    rng = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // error.size)
    for start in range(0, resamples, at_once):
        drawn = rng.integers(0, error.size, (min(at_once, resamples - start), error.size))
        for name, statistic in statistics.items():
            values[name].append(statistic(drawn))
    tails = 100 * (1 - level) / 2, 100 * (1 + level) / 2
    bounds = {name: np.percentile(np.concatenate(found), tails) for name, found in values.items()}
    return {name: Interval(float(low), float(high)) for name, (low, high) in bounds.items()}
