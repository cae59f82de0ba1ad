"""The launch that both operators share: one program per tile of the output, with a list of the windows that touch it.

The lists are made on the device of the points. A tile's program adds its windows in the order of the people, so that
the same call gives the same bits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

TILE_HEIGHT, TILE_WIDTH = 16, 64  # cells


class Windows(NamedTuple):
    """Rectangles of pixels, half open; an empty one touches no tile. All (N,) int64."""

    image: Tensor
    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor


def windows_around(
    pixel: Tensor, radius: Tensor, image: Tensor, inside: Tensor, height: int, width: int
) -> Windows:
    """The part inside the image of the windows that reach `radius` to each side of `pixel`, (N, 2) [x, y] each.

    image (N,) says which image each is in; those not `inside` (N,) get an empty window.
    """
    size = torch.tensor([width, height], device=pixel.device)
    first = (pixel - radius).clamp(min=0).minimum(size).to(torch.int64)
    last = (pixel + radius + 1).clamp(min=0).minimum(size).to(torch.int64)
    last = torch.where(inside[:, None], last, first)
    return Windows(image, first[:, 1], last[:, 1], first[:, 0], last[:, 0])


def splat_by_tiles(
    kernel: Any, tables: Sequence[Tensor], windows: Windows, maps: Tensor, sizes: Sequence[int], stride: int
) -> None:
    """Launch kernel(*tables, members, starts, maps, *sizes, tiles_down, tiles_across), one program per tile.

    maps (B, rows, columns) is cut into tiles, image by image, row by row; the last ones may reach beyond it. The
    windows of tile t are members[starts[t] : starts[t + 1]], in rising order; a cell's side is `stride` pixels.
    """
    images, rows, columns = maps.shape
    down, across = -(-rows // TILE_HEIGHT), -(-columns // TILE_WIDTH)
    members, starts = _windows_by_tile(windows, images, down, across, stride)
    grid = (images * down * across,)
    with torch.cuda.device_of(maps):  # type: ignore[no-untyped-call]
        kernel[grid](
            *tables,
            members,
            starts,
            maps,
            *sizes,
            down,
            across,
            TILE_HEIGHT=TILE_HEIGHT,
            TILE_WIDTH=TILE_WIDTH,
            num_warps=4,
        )


def _windows_by_tile(
    windows: Windows, images: int, down: int, across: int, stride: int
) -> tuple[Tensor, Tensor]:
    """members (M,) int32 and starts (tiles + 1,) int64."""
    height, width = TILE_HEIGHT * stride, TILE_WIDTH * stride  # pixels of a tile
    first_down, first_across = windows.top // height, windows.left // width
    touched_down = (windows.bottom - 1) // height + 1 - first_down
    touched_across = (windows.right - 1) // width + 1 - first_across
    filled = (windows.bottom > windows.top) & (windows.right > windows.left)
    pairs = torch.where(filled, touched_down * touched_across, 0)  # (N,) tiles that each window touches
    ends = pairs.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    numbers = torch.arange(len(pairs), device=pairs.device)
    window = torch.repeat_interleave(numbers, pairs, output_size=total)  # (total,)
    place = torch.arange(total, device=pairs.device) - (ends - pairs)[window]
    row = first_down[window] + place // touched_across[window]
    column = first_across[window] + place % touched_across[window]
    tile = (windows.image[window] * down + row) * across + column
    tile, order = torch.sort(tile, stable=True)
    starts = torch.searchsorted(tile, torch.arange(images * down * across + 1, device=tile.device))
    return window[order].to(torch.int32), starts


def image_of(people: int, offsets: Tensor) -> Tensor:
    """Which image each person is in, (people,) int64; -1 or B for those in none."""
    numbers = torch.arange(people, device=offsets.device)
    return torch.searchsorted(offsets, numbers, right=True) - 1


def stand_inside(
    points: Tensor, image: Tensor, images: int, height: int, width: int, roi: Tensor | None
) -> Tensor:
    """Whether each of points (P, 2) is in an image and in its roi (B, height, width): (P,) bool."""
    x, y = points.unbind(1)
    inside = (image >= 0) & (image < images) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if roi is None or images == 0:
        return inside
    column, row = (torch.where(inside, value, 0).to(torch.int64) for value in (x, y))
    return inside & roi[torch.where(inside, image, 0), row, column]
