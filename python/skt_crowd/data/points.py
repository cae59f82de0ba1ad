"""Checks that every reader applies to annotated points."""

from pathlib import Path

import numpy as np

from skt_crowd.errors import SktError


def checked_points(array: np.ndarray, source: Path | str) -> np.ndarray:
    """A numeric array of points as (P, 2) float64; an empty one of any shape means nobody.

    Raises:
        SktError: naming `source`, for another shape, another type, or a coordinate that is not finite.

    Example:
        >>> checked_points(np.array([[3, 4]], np.uint16), "a.mat")
        array([[3., 4.]])
    """
    if array.dtype.kind not in "fiu":
        raise SktError(f"{source}: expected numbers as coordinates, got an array of type {array.dtype}")
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise SktError(f"{source}: expected points as (people, 2) [x, y], got an array of {array.shape}")
    points = np.ascontiguousarray(array, dtype=np.float64)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        x, y = points[row]
        raise SktError(f"{source}: point {row + 1} of {len(points)} is ({x:g}, {y:g}), not a finite position")
    return points


def drop_outside(
    points: np.ndarray, height: int, width: int, roi: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """The points (P, 2) with 0 <= x < width and 0 <= y < height, and inside roi; the number of the others.

    Args:
        roi: (height, width) bool, True where people are counted; None for the whole image.

    Example:
        >>> drop_outside(np.array([[0.0, 0.0], [4.0, 1.0]]), height=2, width=4)
        (array([[0., 0.]]), 1)
    """
    x, y = points[:, 0], points[:, 1]
    kept = points[(x >= 0) & (x < width) & (y >= 0) & (y < height)]
    if roi is not None:
        column, row = kept.astype(np.int64).T
        kept = kept[roi[row, column]]
    return kept, len(points) - len(kept)
