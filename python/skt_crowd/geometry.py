"""Rectangles of pixels, and crops and flips that keep an image and its points together."""

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of pixels; its right and bottom edges are outside it."""

    top: int
    left: int
    bottom: int
    right: int


def flip_horizontally(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror an image (H, W, 3) and its points (P, 2) [x, y]: x becomes W - x. The image is a view.

    A point on the left edge, x = 0, lands just inside the right edge instead of on it.

    Example:
        >>> flip_horizontally(np.zeros((1, 10, 3), np.uint8), np.array([[2.5, 0.5]]))[1]
        array([[7.5, 0.5]])
    """
    width = image.shape[1]
    mirrored = points.copy()
    mirrored[:, 0] = np.minimum(width - points[:, 0], np.nextafter(float(width), 0.0))
    return image[:, ::-1], mirrored


def random_box(shape: tuple[int, int], crop: int, rng: np.random.Generator) -> Box:
    """A crop x crop box at a uniformly random place in an image of shape (H, W).

    Along an axis on which the image is smaller than the crop, the box starts at 0 and ends beyond the image.
    """
    top, left = (int(rng.integers(0, max(side - crop, 0) + 1)) for side in shape)
    return Box(top, left, top + crop, left + crop)


def points_inside(points: np.ndarray, box: Box) -> np.ndarray:
    """The points (P, 2) that lie in the box, in the box's own coordinates."""
    x, y = points[:, 0], points[:, 1]
    inside = (x >= box.left) & (x < box.right) & (y >= box.top) & (y < box.bottom)
    return points[inside] - (box.left, box.top)
