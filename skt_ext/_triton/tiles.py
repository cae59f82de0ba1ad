"""Which windows touch which tile of the output: an ordered list a tile, made on the device of the points."""

from typing import NamedTuple

import torch
from torch import Tensor


class Windows(NamedTuple):
    """Rectangles of pixels, half open; an empty one touches no tile. All (N,) int64."""

    image: Tensor
    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor


class Tiles(NamedTuple):
    """The output cut into tiles, image by image, row by row; the last ones may reach beyond it."""

    images: int
    down: int
    across: int
    height: int  # cells of a tile
    width: int

    @property
    def programs(self) -> int:
        return self.images * self.down * self.across


def cut(images: int, height: int, width: int, tile_height: int, tile_width: int) -> Tiles:
    return Tiles(images, -(-height // tile_height), -(-width // tile_width), tile_height, tile_width)


def windows_by_tile(windows: Windows, tiles: Tiles, stride: int) -> tuple[Tensor, Tensor]:
    """(members, starts): the windows of tile t are members[starts[t] : starts[t + 1]], in rising order.

    stride: pixels of a cell's side
    """
    height, width = tiles.height * stride, tiles.width * stride  # pixels of a tile
    first_down, first_across = windows.top // height, windows.left // width
    down = (windows.bottom - 1) // height + 1 - first_down
    across = (windows.right - 1) // width + 1 - first_across
    filled = (windows.bottom > windows.top) & (windows.right > windows.left)
    pairs = torch.where(filled, down * across, 0)  # (N,) tiles that each window touches
    ends = pairs.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    numbers = torch.arange(len(pairs), device=pairs.device)
    window = torch.repeat_interleave(numbers, pairs, output_size=total)  # (total,)
    place = torch.arange(total, device=pairs.device) - (ends - pairs)[window]
    row = first_down[window] + place // across[window]
    column = first_across[window] + place % across[window]
    tile = (windows.image[window] * tiles.down + row) * tiles.across + column
    tile, order = torch.sort(tile, stable=True)
    starts = torch.searchsorted(tile, torch.arange(tiles.programs + 1, device=tile.device))
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
