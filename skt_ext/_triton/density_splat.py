"""The operator density_splat in Triton: truncated Gaussians, batched over images with any numbers of people.

    D(cell) = sum over people and their kernels of scale * (sum of wy over the cell's rows) * (sum of wx ...)

First one program per person finds the scale; then one program per tile of the output adds up.
"""

# The kernels' arguments have no types in Python.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

import torch
import triton
import triton.language as tl
from torch import Tensor

from skt_ext._triton.tiles import image_of, splat_by_tiles, stand_inside, windows_around
from skt_ext.ops.density_splat import sum_blocks

BLOCK = 128  # pixels of a window's side that a person's program looks at together
ROI_ROWS, ROI_COLUMNS = 8, 64

_FAR = 2**30  # pixels; a window this far away is empty, and sums of two still fit 32 bits
_STEEP = 1e30  # a Gaussian this narrow is one pixel, and its exponent is still finite


@triton.jit
def _weights(position, pixel, radius, shift, steepness):
    """A truncated Gaussian along an axis, relative to its value at the person's pixel.

    exp(-((o + shift)^2 - shift^2) / (2 sigma^2)) = exp(-o (o + 2 shift) steepness) at o pixels from the person's: the
    difference of the squares is taken by hand, so that a tiny sigma between two pixels does not give 0 / 0.
    """
    offset = position - pixel
    distance = offset.to(tl.float32)
    return tl.where(tl.abs(offset) <= radius, tl.exp(-distance * (distance + 2.0 * shift) * steepness), 0.0)


@triton.jit
def _axis_sum(first, last, pixel, radius, shift, steepness, BLOCK: tl.constexpr):
    """The sum of the weights of the pixels first to last - 1."""
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, last, BLOCK):
        position = start + lane
        total += tl.where(position < last, _weights(position, pixel, radius, shift, steepness), 0.0)
    return tl.sum(total)


@triton.jit
def measure_people(
    places,  # (P * K, 8) int32: pixel x, y; radius x, y; the window inside the image: left, right, top, bottom
    shapes,  # (P * K, 4) float32: shift x, y; steepness x, y
    image,  # (P,) int32
    roi,  # (B, H, W) uint8, or anything without HAS_ROI
    scales,  # (P * K,) float32, written
    height,
    width,
    conserve,  # 0 or 1
    K: tl.constexpr,
    HAS_ROI: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """One program per person: scale = 1 / (sums of the whole windows * mass inside), for each kernel."""
    person = tl.program_id(0).to(tl.int64)
    region = roi + tl.load(image + person).to(tl.int64) * height * width
    mass = 0.0
    for k in tl.static_range(K):
        kernel = person * K + k
        pixel_x, pixel_y = tl.load(places + kernel * 8), tl.load(places + kernel * 8 + 1)
        radius_x, radius_y = tl.load(places + kernel * 8 + 2), tl.load(places + kernel * 8 + 3)
        left, right = tl.load(places + kernel * 8 + 4), tl.load(places + kernel * 8 + 5)
        top, bottom = tl.load(places + kernel * 8 + 6), tl.load(places + kernel * 8 + 7)
        shift_x, shift_y = tl.load(shapes + kernel * 4), tl.load(shapes + kernel * 4 + 1)
        steep_x, steep_y = tl.load(shapes + kernel * 4 + 2), tl.load(shapes + kernel * 4 + 3)
        whole_x = _axis_sum(
            pixel_x - radius_x, pixel_x + radius_x + 1, pixel_x, radius_x, shift_x, steep_x, BLOCK
        )
        whole_y = _axis_sum(
            pixel_y - radius_y, pixel_y + radius_y + 1, pixel_y, radius_y, shift_y, steep_y, BLOCK
        )
        whole = whole_x * whole_y
        if HAS_ROI:
            sums = tl.zeros((ROWS, COLUMNS), tl.float32)
            for first_row in range(top, bottom, ROWS):
                row = first_row + tl.arange(0, ROWS)
                down = tl.where(row < bottom, _weights(row, pixel_y, radius_y, shift_y, steep_y), 0.0)
                for first_column in range(left, right, COLUMNS):
                    column = first_column + tl.arange(0, COLUMNS)
                    across = tl.where(
                        column < right, _weights(column, pixel_x, radius_x, shift_x, steep_x), 0.0
                    )
                    inside = tl.load(
                        region + row[:, None].to(tl.int64) * width + column[None, :],
                        mask=(row < bottom)[:, None] & (column < right)[None, :],
                        other=0,
                    )
                    sums += tl.where(inside != 0, down[:, None] * across[None, :], 0.0)
            mass += tl.sum(sums) / whole
        else:
            inside_x = _axis_sum(left, right, pixel_x, radius_x, shift_x, steep_x, BLOCK)
            inside_y = _axis_sum(top, bottom, pixel_y, radius_y, shift_y, steep_y, BLOCK)
            mass += inside_x * inside_y / whole
        tl.store(scales + kernel, 1.0 / whole)
    mass = tl.where((conserve != 0) & (mass > 0.0), mass, 1.0 * K)  # 0: a person who stands outside
    for k in tl.static_range(K):
        kernel = person * K + k
        tl.store(scales + kernel, tl.load(scales + kernel) / mass)


@triton.jit
def splat_tiles(
    places,  # as above
    shapes,
    scales,
    members,  # (M,) int32: kernels, tile by tile
    starts,  # (tiles + 1,) int64
    maps,  # (B, rows, columns) float32, written
    height,
    width,
    stride,
    rows,
    columns,
    tiles_down,
    tiles_across,
    TILE_HEIGHT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
):
    """One program per tile of the output: the kernels that touch it, in their order."""
    tile = tl.program_id(0).to(tl.int64)
    row = (tile // tiles_across % tiles_down).to(tl.int32) * TILE_HEIGHT + tl.arange(0, TILE_HEIGHT)
    column = (tile % tiles_across).to(tl.int32) * TILE_WIDTH + tl.arange(0, TILE_WIDTH)
    total = tl.zeros((TILE_HEIGHT, TILE_WIDTH), tl.float32)
    for member in range(tl.load(starts + tile), tl.load(starts + tile + 1)):
        kernel = tl.load(members + member).to(tl.int64)
        pixel_x, pixel_y = tl.load(places + kernel * 8), tl.load(places + kernel * 8 + 1)
        radius_x, radius_y = tl.load(places + kernel * 8 + 2), tl.load(places + kernel * 8 + 3)
        shift_x, shift_y = tl.load(shapes + kernel * 4), tl.load(shapes + kernel * 4 + 1)
        steep_x, steep_y = tl.load(shapes + kernel * 4 + 2), tl.load(shapes + kernel * 4 + 3)
        down = tl.zeros((TILE_HEIGHT,), tl.float32)
        across = tl.zeros((TILE_WIDTH,), tl.float32)
        for part in range(0, stride):
            y, x = row * stride + part, column * stride + part
            down += tl.where(y < height, _weights(y, pixel_y, radius_y, shift_y, steep_y), 0.0)
            across += tl.where(x < width, _weights(x, pixel_x, radius_x, shift_x, steep_x), 0.0)
        total += (tl.load(scales + kernel) * down)[:, None] * across[None, :]
    place = ((tile // tiles_across // tiles_down) * rows + row[:, None]) * columns + column[None, :]
    tl.store(maps + place, total, mask=(row < rows)[:, None] & (column < columns)[None, :])


def density_splat(
    points: Tensor,
    sigma: Tensor,
    offsets: Tensor,
    height: int,
    width: int,
    stride: int,
    truncate: float,
    conserve: bool,
    subpixel: bool,
    roi: Tensor | None,
) -> Tensor:
    """See skt_ext.ops.density_splat.reference, whose arguments and result these are."""
    if roi is not None and stride > 1:  # a region cuts through cells, so it is applied to pixels
        maps = density_splat(points, sigma, offsets, height, width, 1, truncate, conserve, subpixel, roi)
        return sum_blocks(maps, stride)
    images, (people, kernels) = len(offsets) - 1, points.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    maps = points.new_zeros((images, rows, columns), dtype=torch.float32)
    if images == 0 or people == 0:
        return maps
    image = image_of(people, offsets)
    inside = stand_inside(points[:, 0], image, images, height, width, roi)  # (P,)
    pixel = points.floor().clamp(-_FAR, _FAR)  # (P, K, 2)
    radius = (truncate * sigma + 0.5).floor().clamp(max=_FAR)
    shift = pixel + 0.5 - points if subpixel else torch.zeros_like(points)
    steepness = (0.5 / sigma.square()).clamp(max=_STEEP)
    shapes = torch.cat((shift, steepness), -1).to(torch.float32).reshape(-1, 4)
    pixel, radius = pixel.reshape(-1, 2), radius.reshape(-1, 2)  # (P * K, 2)
    windows = windows_around(
        pixel, radius, image.repeat_interleave(kernels), inside.repeat_interleave(kernels), height, width
    )
    bounds = torch.stack((windows.left, windows.right, windows.top, windows.bottom), 1)
    places = torch.cat((pixel, radius, bounds), 1).to(torch.int32)
    scales = shapes.new_empty(people * kernels)
    with torch.cuda.device_of(points):
        measure_people[(people,)](
            places,
            shapes,
            image.clamp(0, images - 1).to(torch.int32),
            places if roi is None else roi.view(torch.uint8),
            scales,
            height,
            width,
            int(conserve),
            K=kernels,
            HAS_ROI=roi is not None,
            BLOCK=BLOCK,
            ROWS=ROI_ROWS,
            COLUMNS=ROI_COLUMNS,
            num_warps=1,
        )
    sizes = (height, width, stride, rows, columns)
    splat_by_tiles(splat_tiles, (places, shapes, scales), windows, maps, sizes, stride)
    return maps if roi is None else maps.mul_(roi)
