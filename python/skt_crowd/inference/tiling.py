"""Cut an image into tiles: with a halo, which changes nothing, or as published code cuts, which does."""

import itertools
from typing import NamedTuple

from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box
from skt_crowd.models import Tiling


class Tile(NamedTuple):
    """A part of the image whose map is wanted, and the larger part that is given to the model for it."""

    core: Box
    seen: Box


def halo_tiles(shape: tuple[int, int], tiling: Tiling, side: tuple[int, int]) -> list[Tile]:
    """Tiles that see the model's halo around themselves, so that their maps together are the whole image's.

    The cores cover the image once. The cores and what is seen around them start on multiples of the model's
    strides, and end there or at the border of the image, so that every cell of a tile is a cell of the whole
    image and every pad of zeros lies where the whole image has it or beyond the halo.

    Args:
        shape: (H, W) of the image.
        tiling: the model's.
        side: largest (height, width) of a core in pixels; rounded down to whole strides, at least one.

    Example:
        >>> tiling = Tiling(True, alignment=8, halo=16, reason="")
        >>> [tile.core for tile in halo_tiles((100, 300), tiling, (128, 160))]
        [Box(top=0, left=0, bottom=100, right=160), Box(top=0, left=160, bottom=100, right=300)]
        >>> halo_tiles((100, 300), tiling, (128, 160))[1].seen
        Box(top=0, left=144, bottom=100, right=300)
    """
    step, halo = tiling.alignment, tiling.halo
    height, width = (max(step, length // step * step) for length in side)
    tiles = []
    for top in range(0, shape[0], height):
        for left in range(0, shape[1], width):
            core = Box(top, left, min(top + height, shape[0]), min(left + width, shape[1]))
            seen = Box(
                max(core.top - halo, 0),
                max(core.left - halo, 0),
                min(core.bottom + halo, shape[0]),
                min(core.right + halo, shape[1]),
            )
            tiles.append(Tile(core, seen))
    return tiles


def tile_side(shape: tuple[int, int], tiling: Tiling, most_pixels: int) -> tuple[int, int]:
    """The (height, width) of the cores that cost the least, if no tile may see more than ``most_pixels``.

    The cost is the number of pixels that all tiles see together; halos are seen twice.

    Raises:
        UsageError: not even the smallest tile fits.

    Example:
        >>> tile_side((1000, 1000), Tiling(True, alignment=8, halo=144, reason=""), 10**6)  # the whole image
        (1000, 1000)
    """
    step, halo = tiling.alignment, tiling.halo
    best: tuple[int, tuple[int, int]] | None = None
    for height in _sides(shape[0], step):
        for width in _sides(shape[1], step):
            tall, wide = min(height + 2 * halo, shape[0]), min(width + 2 * halo, shape[1])
            if tall * wide > most_pixels:
                continue
            cost = _seen(shape[0], height, halo) * _seen(shape[1], width, halo)
            if best is None or cost < best[0]:
                best = cost, (height, width)
    if best is None:
        smallest = min(step + 2 * halo, shape[0]) * min(step + 2 * halo, shape[1])
        raise UsageError(
            f"memory budget: room for {max(most_pixels, 0):,} pixels at a time, "
            f"but the smallest tile with its halo of {halo} has {smallest:,}"
        )
    return best[1]


def split_evenly(shape: tuple[int, int], tile: int) -> list[Box]:
    """(int(H / tile) + 1) x (int(W / tile) + 1) parts side by side, the last of each row taking what is left.

    As the released SKT code tests UCF-QNRF with 512: a side of exactly 512 is still cut in two. The parts have
    no halo, so people at the cuts are seen in halves: the count differs from the whole image's.

    Example:
        >>> [box.right - box.left for box in split_evenly((4, 1025), 512)]
        [341, 341, 343]
    """
    rows, columns = (_cuts(length, length // tile + 1) for length in shape)
    return [Box(t, left, b, right) for t, b in rows for left, right in columns]


def quadrants(shape: tuple[int, int]) -> list[Box]:
    """The four quarters of an image, as CAN's authors train and test; an image of one pixel stays whole.

    Example:
        >>> quadrants((5, 4))[3]
        Box(top=2, left=2, bottom=5, right=4)
    """
    rows, columns = (_cuts(length, min(2, length)) for length in shape)
    return [Box(t, left, b, right) for t, b in rows for left, right in columns]


def _sides(length: int, step: int) -> list[int]:
    """Sides of 1, 2, 3 ... equal parts, in whole steps."""
    steps = -(-length // step)
    return sorted({-(-steps // parts) * step for parts in range(1, steps + 1)}, reverse=True)


def _seen(length: int, side: int, halo: int) -> int:
    """Pixels along one axis that all tiles see together."""
    starts = range(0, length, side)
    return sum(min(start + side + halo, length) - max(start - halo, 0) for start in starts)


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """``parts`` intervals of length // parts, the last one longer; fewer where a part would be empty."""
    parts = min(parts, length)
    edges = [index * (length // parts) for index in range(parts)] + [length]
    return list(itertools.pairwise(edges))
