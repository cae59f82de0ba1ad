"""Who is visible in a crop, for losses that compare with points instead of maps."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from skt_crowd.data.targets import SigmaRule
from skt_crowd.geometry import Box
from skt_crowd.settings import Settings


class VisibilityRule(Settings):
    """A head is a square around its point; it is visible in a crop if enough of the square is inside.

    The rule of the authors of the Bayesian loss (Ma et al., ICCV 2019). The defaults are theirs for UCF-QNRF;
    for ShanghaiTech they take box_scale 0.8, largest_box 40, least_share 0.5, and counts_as "one".

    Raises:
        UsageError: a number is out of range.
    """

    # Side of the square as a multiple of the mean distance to the three nearest neighbours, within these bounds
    # in pixels; somebody alone in the image gets the largest.
    box_scale: float = Field(default=1.0, gt=0)
    smallest_box: float = Field(default=4.0, gt=0)
    largest_box: float = Field(default=128.0, gt=0)
    # Part of the square that must be inside the crop.
    least_share: float = Field(default=0.3, gt=0, le=1)
    # share: a visible person counts as the part of the square that is inside; one: as a whole person.
    counts_as: Literal["share", "one"] = "share"

    @model_validator(mode="after")
    def _in_order(self) -> VisibilityRule:
        if self.largest_box < self.smallest_box:
            raise ValueError(f"largest_box: expected at least {self.smallest_box}, got {self.largest_box}")
        return self

    def sides(self, points: np.ndarray) -> np.ndarray:
        """The sides (P,) of the squares of the people at ``points`` (P, 2) in an image, pixels."""
        rule = SigmaRule(
            beta=self.box_scale,
            neighbors=3,
            fallback=self.largest_box,
            minimum=self.smallest_box,
            maximum=self.largest_box,
        )
        return rule.sigmas(points)

    def within(self, points: np.ndarray, sides: np.ndarray, box: Box) -> np.ndarray:
        """Who is visible in a crop. A point may lie outside it while enough of its square is inside.

        Args:
            points: (P, 2) float64 [x, y] in the image.
            sides: (P,) of their squares, pixels.
            box: the crop.

        Returns:
            (K, 3) float64: x and y in the crop's coordinates, and how much of the person is visible.

        Example:
            >>> points, sides = np.array([[10.0, 10.0], [2.0, 10.0], [0.5, 10.0]]), np.full(3, 8.0)
            >>> crop = Box(top=0, left=4, bottom=64, right=68)  # a quarter of the second square is inside
            >>> VisibilityRule().within(points, sides, crop)
            array([[ 6., 10.,  1.]])
        """
        overlap = np.ones(len(points))
        for axis, (first, last) in enumerate(((box.left, box.right), (box.top, box.bottom))):
            place = points[:, axis]
            low, high = np.maximum(place - sides / 2, first), np.minimum(place + sides / 2, last)
            overlap *= np.clip(high - low, 0.0, None) / sides
        inside = overlap >= self.least_share
        visible = np.ones(int(inside.sum())) if self.counts_as == "one" else overlap[inside]
        return np.column_stack([points[inside] - (box.left, box.top), visible])
