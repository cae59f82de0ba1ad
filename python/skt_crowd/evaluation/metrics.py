"""Errors of counts over a set of images (eq. 9 of the paper)."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skt_crowd.errors import UsageError


def mean_absolute_error(predicted: ArrayLike, actual: ArrayLike) -> float:
    """MAE = mean |P - G|, in people.

    Raises:
        UsageError: no images, or lists of different lengths.

    Example:
        >>> mean_absolute_error([10.0, 20.0], [13, 19])
        2.0
    """
    return float(np.abs(differences(predicted, actual)).mean())


def root_mean_squared_error(predicted: ArrayLike, actual: ArrayLike) -> float:
    """RMSE = sqrt(mean (P - G)^2), in people; many papers print it as "MSE".

    Raises:
        UsageError: no images, or lists of different lengths.

    Example:
        >>> root_mean_squared_error([10.0, 20.0], [13, 19])
        2.23606797749979
    """
    return math.sqrt(float(np.square(differences(predicted, actual)).mean()))


def normalized_absolute_error(predicted: ArrayLike, actual: ArrayLike) -> float:
    """NAE = mean |P - G| / G over the images with people in them; NaN if there is none.

    Raises:
        UsageError: no images, or lists of different lengths.

    Example:
        >>> normalized_absolute_error([11.0, 3.0], [10, 0])
        0.1
    """
    errors, people = np.abs(differences(predicted, actual)), np.asarray(actual, dtype=np.float64)
    populated = people > 0
    if not populated.any():
        return math.nan
    return float((errors[populated] / people[populated]).mean())


def differences(predicted: ArrayLike, actual: ArrayLike) -> NDArray[np.float64]:
    """Predicted minus actual of each image: (images,).

    Raises:
        UsageError: no images, or lists of different lengths.
    """
    counted = np.asarray(predicted, dtype=np.float64)  # (images,)
    annotated = np.asarray(actual, dtype=np.float64)  # (images,)
    if counted.shape != annotated.shape or counted.ndim != 1:
        raise UsageError(
            f"counts: expected two lists of the same length, got shapes {counted.shape} and {annotated.shape}"
        )
    if counted.size == 0:
        raise UsageError("counts: expected at least one image, got none")
    return counted - annotated
