"""Density maps placed on the image they were predicted from, and exact sums of them over any part of it."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box


@dataclass(frozen=True, eq=False)
class MapPart:
    """A density map that covers a part of the image.

    Attributes:
        density: (h, w) people per cell.
        box: the part, in pixels of the image.
        cell: (height, width) of a cell in pixels of the image, not whole where the image was resized. The
            last cells of a row or column may reach beyond the part; their people count as inside it.
    """

    density: np.ndarray
    box: Box
    cell: tuple[float, float]

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Where cells begin and end, (h + 1,) and (w + 1,) pixels from the image's top left corner."""
        rows, columns = self.density.shape
        return (
            _edges(self.box.top, self.box.bottom, rows, self.cell[0]),
            _edges(self.box.left, self.box.right, columns, self.cell[1]),
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one image: parts of a density map that together cover the image once.

    Attributes:
        passes: how often the model ran: once, or once for each tile.
    """

    height: int
    width: int
    parts: tuple[MapPart, ...]
    passes: int = 1

    @property
    def count(self) -> float:
        """The sum of the map, added up in float64: people."""
        return sum(float(part.density.sum(dtype=np.float64)) for part in self.parts)

    def sums(self, rows: np.ndarray, columns: np.ndarray) -> NDArray[np.float64]:
        """People between each two neighbouring edges, where each cell's people are spread evenly over it.

        Args:
            rows: (r + 1,) increasing, pixels from the top.
        columns: (c + 1,) increasing, pixels from the left.

        Returns:
            (r, c) people. The sum over a grid that covers the image is the count.
        """
        totals = []
        for part in self.parts:
            tops, lefts = part.edges()
            by_rows = sum_between(part.density, tops, rows)  # (r, w)
            totals.append(sum_between(by_rows.T, lefts, columns).T)
        return reduce(np.add, totals)

    def on_cells(self, stride: int) -> np.ndarray:
        """The map on square cells of ``stride`` pixels: (ceil(H / stride), ceil(W / stride)) people per cell."""
        only = self.parts[0]
        if len(self.parts) == 1 and only.cell == (stride, stride):
            return only.density
        tall, wide = -(-self.height // stride), -(-self.width // stride)
        rows = _edges(0, self.height, tall, stride)
        columns = _edges(0, self.width, wide, stride)
        return self.sums(rows, columns).astype(only.density.dtype)

    def inside(self, region: np.ndarray, name: str = "image") -> "Prediction":
        """The prediction within a region: every cell times the share of its area that lies in the region.

        Args:
            region: (H, W) bool or 0 to 1. Averaged over each cell, not sampled: a cell cut by the border of
                the region keeps the part inside it.
            name: of the image, for the message.

        Raises:
            UsageError: the region has another size than the image.
        """
        if region.shape != (self.height, self.width):
            raise UsageError(
                f"{name}: the region of interest is (H, W) = {tuple(region.shape)}, "
                f"the image is ({self.height}, {self.width})"
            )
        parts = []
        for part in self.parts:
            box = part.box
            inner = region[box.top : box.bottom, box.left : box.right]
            tops, lefts = part.edges()
            rows = sum_between(inner, np.arange(box.top, box.bottom + 1.0), tops)  # (h, W of the part)
            area = sum_between(rows.T, np.arange(box.left, box.right + 1.0), lefts).T  # (h, w)
            share = area / np.outer(np.diff(tops), np.diff(lefts))
            parts.append(MapPart((part.density * share).astype(part.density.dtype), box, part.cell))
        return Prediction(self.height, self.width, tuple(parts), self.passes)


def sum_between(values: np.ndarray, edges: np.ndarray, wanted: np.ndarray) -> NDArray[np.float64]:
    """Sums over new intervals of values that are spread evenly over given intervals.

    Args:
        values: (n, ...): ``values[i]`` lies between ``edges[i]`` and ``edges[i + 1]``.
        edges: (n + 1,), increasing.
        wanted: (m + 1,), not decreasing; there is nothing outside ``edges``.

    Returns:
        (m, ...) float64.

    Example:
        >>> sum_between(np.array([4.0, 10.0]), np.array([0.0, 2.0, 4.0]), np.array([0.0, 1.0, 3.0, 9.0]))
        array([2., 7., 5.])
    """
    below = np.zeros((len(edges), *values.shape[1:]))  # sums of everything before each edge
    np.cumsum(values, axis=0, dtype=np.float64, out=below[1:])
    place = np.interp(wanted, edges, np.arange(len(edges)))  # (m + 1,)
    lower = np.minimum(place.astype(np.int64), len(edges) - 2)
    share = (place - lower).reshape(-1, *(1,) * (values.ndim - 1))
    at = below[lower] + share * (below[lower + 1] - below[lower])
    sums: NDArray[np.float64] = np.diff(at, axis=0)
    return sums


def _edges(first: float, last: float, cells: int, size: float) -> np.ndarray:
    """``cells`` cells of ``size`` from ``first`` on, the last of them ending at ``last``."""
    edges = first + size * np.arange(cells + 1, dtype=np.float64)
    edges[-1] = last
    return edges
