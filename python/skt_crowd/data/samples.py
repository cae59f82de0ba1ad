"""What a crowd data set is: images with one point for each person."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np


class CrowdSample(NamedTuple):
    """One image and the points of its people.

    Coordinates are continuous with the origin at the top left corner of the image as it is shown (after
    EXIF rotation): x in [0, W) to the right, y in [0, H) down. The person at (x, y) is in pixel
    ``[int(y), int(x)]``.
    """

    name: str
    image: np.ndarray  # (H, W, 3) uint8 RGB
    points: np.ndarray  # (P, 2) float64 [x, y], all inside the image and its roi; duplicates kept; P may be 0
    outside: int  # annotated points that were dropped because they lie outside the image or its roi
    roi: np.ndarray | None = None  # (H, W) bool, True where people are counted; None for the whole image
    perspective: np.ndarray | None = None  # (H, W) float64, pixels per metre at each head; None where unknown


class CrowdDataset(Protocol):
    """A sequence of crowd samples with known names.

    ``names`` are unique and are valid file names, so that results can be stored under them.
    """

    @property
    def kind(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> CrowdSample: ...

    def image_path(self, index: int, /) -> Path | None:
        """The file of an image, or None for one that exists only in memory."""
        ...
