"""Who counts as being in a crop, for losses that look at points instead of maps."""

from dataclasses import dataclass

import numpy as np

from skt_crowd.data.targets import Box, SigmaRule
from skt_crowd.errors import UsageError

_NEIGHBORS = 3


@dataclass(frozen=True)
class PresenceRule:
    """A head is a square around its point; it is in a crop if enough of the square is.

    The rule of the Bayesian loss's authors (Ma et al., ICCV 2019). The defaults are theirs for UCF-QNRF; for
    ShanghaiTech they take scale 0.8, at most 40 pixels, least 0.5, and count everyone whole.

    Attributes:
        scale: side of the square as a multiple of the mean distance to the three nearest neighbours.
        smallest, largest: bounds of that side, pixels; somebody alone in the image gets the largest.
        least: part of the square that must be inside the crop, in (0, 1].
        whole: a person in the crop counts as 1, not as the part of the square inside it.

    Raises:
        UsageError: a number out of its range.
    """

    scale: float = 1.0
    smallest: float = 4.0
    largest: float = 128.0
    least: float = 0.3
    whole: bool = False

    def __post_init__(self) -> None:
        if not (self.scale > 0 and 0 < self.smallest <= self.largest and 0 < self.least <= 1):
            raise UsageError(
                "presence: expected scale > 0, 0 < smallest <= largest and 0 < least <= 1, "
                f"got {self.scale}, {self.smallest}, {self.largest} and {self.least}"
            )

    def sides(self, points: np.ndarray) -> np.ndarray:
        """The sides (P,) of the squares of the people at ``points`` (P, 2) in an image, pixels."""
        rule = SigmaRule(
            beta=self.scale,
            neighbors=_NEIGHBORS,
            fallback=self.largest,
            minimum=self.smallest,
            maximum=self.largest,
        )
        return rule.widths(points)

    def within(self, points: np.ndarray, sides: np.ndarray, box: Box) -> np.ndarray:
        """Who is in a crop: (K, 3) float64, x and y in the crop's coordinates, and presence.

        A point may lie outside the crop while enough of its square is inside.

        >>> rule = PresenceRule()
        >>> points, sides = np.array([[10.0, 10.0], [2.0, 10.0], [0.5, 10.0]]), np.full(3, 8.0)
        >>> rule.within(points, sides, Box(top=0, left=4, bottom=64, right=68))  # of the others a quarter and less
        array([[ 6., 10.,  1.]])
        """
        overlap = np.ones(len(points))
        for axis, (first, last) in enumerate(((box.left, box.right), (box.top, box.bottom))):
            place = points[:, axis]
            low, high = np.maximum(place - sides / 2, first), np.minimum(place + sides / 2, last)
            overlap *= np.clip(high - low, 0.0, None) / sides
        inside = overlap >= self.least
        presence = np.ones(int(inside.sum())) if self.whole else overlap[inside]
        return np.column_stack([points[inside] - (box.left, box.top), presence])
