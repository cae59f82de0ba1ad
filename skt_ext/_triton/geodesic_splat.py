"""The operator geodesic_splat in Triton: Gaussians of the distance that a person would walk.

Costs of steps between neighbouring pixels are computed once per image. One program per person then sweeps its window
up and down, left and right until nothing changes: the fixed point is the cheapest path, as Dijkstra's algorithm
finds it. The window becomes a Gaussian in place, and one program per tile of the output adds the windows up.
"""

# The kernels' arguments have no types in Python.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

import math
from itertools import pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from skt_ext._triton.density_splat import BLOCK, _axis_sum, density_splat
from skt_ext._triton.tiles import Windows, image_of, splat_by_tiles, stand_inside, windows_around
from skt_ext.ops.density_splat import sum_blocks

LINE = 64  # pixels of a line that a person's program relaxes together
SCRATCH = 2**26  # float32 of windows kept at a time: 256 MiB, and a little more for the last of them

_SQRT2 = math.sqrt(2)


@triton.jit
def _relax_lines(
    window,  # costs from the person, changed
    straight,  # costs of the steps from each line to the next ...
    main,  # ... and of the diagonal steps across 2 x 2 pixels, at the first line and the first column of them
    anti,
    lines,
    length,
    line_stride,  # of the window
    along_stride,
    image_line_stride,
    image_along_stride,
    direction,  # 1: from the first line to the last; -1: back
    LINE: tl.constexpr,
):
    """Each line takes what is cheaper by way of the line before it. Returns whether any pixel did."""
    changed = tl.zeros((LINE,), tl.int32)
    for step in range(1, lines):
        line = tl.where(direction > 0, step, lines - 1 - step)
        before = line - direction
        steps = tl.minimum(line, before).to(tl.int64) * image_line_stride
        for start in range(0, length, LINE):
            place = start + tl.arange(0, LINE)
            there = place < length
            target = window + line * line_stride + place * along_stride
            old = tl.load(target, mask=there, other=0.0)
            source = window + before * line_stride
            cost = tl.load(source + place * along_stride, mask=there, other=float("inf"))
            cost += tl.load(straight + steps + place * image_along_stride, mask=there, other=0.0)
            new = tl.minimum(old, cost)
            beside = place - direction  # lies on the diagonal that falls to the right
            exists = there & (beside >= 0) & (beside < length)
            cost = tl.load(source + beside * along_stride, mask=exists, other=float("inf"))
            corner = steps + tl.minimum(place, beside) * image_along_stride
            new = tl.minimum(new, cost + tl.load(main + corner, mask=exists, other=0.0))
            beside = place + direction  # ... and the one that rises
            exists = there & (beside >= 0) & (beside < length)
            cost = tl.load(source + beside * along_stride, mask=exists, other=float("inf"))
            corner = steps + tl.minimum(place, beside) * image_along_stride
            new = tl.minimum(new, cost + tl.load(anti + corner, mask=exists, other=0.0))
            tl.store(target, new, mask=there)
            changed = tl.where(there & (new < old), 1, changed)
        tl.debug_barrier()  # other threads read this line next
    return tl.max(changed)


@triton.jit
def fill_windows(
    people,  # (P, 8) int32: image, top, left, height, width of the window; the person's row, column in it; radius
    steepness,  # (P,) float32, 1 / (2 sigma^2)
    bases,  # (P,) int64: where each window begins
    windows,  # float32, written
    scales,  # (P,) float32, written
    steps_down,  # (B, H, W) float32: cost of the step from each pixel to the one below,
    steps_right,  # to the one on the right,
    steps_main,  # from each pixel to the one below on the right,
    steps_anti,  # from the pixel on the right to the one below; infinity where there is no such step
    image_height,
    image_width,
    conserve,  # 0 or 1
    LINE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program per person: the window exp(-D^2 / (2 sigma^2)), and what to multiply it by."""
    person = tl.program_id(0).to(tl.int64)
    image, top, left = (
        tl.load(people + person * 8).to(tl.int64),
        tl.load(people + person * 8 + 1).to(tl.int64),
        tl.load(people + person * 8 + 2),
    )
    height, width = tl.load(people + person * 8 + 3), tl.load(people + person * 8 + 4)
    row, column = tl.load(people + person * 8 + 5), tl.load(people + person * 8 + 6)
    radius = tl.load(people + person * 8 + 7)
    steep = tl.load(steepness + person)
    window = windows + tl.load(bases + person)
    corner = (image * image_height + top) * image_width + left
    down, right = steps_down + corner, steps_right + corner
    main, anti = steps_main + corner, steps_anti + corner

    for y in range(0, height):
        for start in range(0, width, LINE):
            x = start + tl.arange(0, LINE)
            cost = tl.where((y == row) & (x == column), 0.0, float("inf"))
            tl.store(window + y * width + x, cost, mask=x < width)
    tl.debug_barrier()

    changed = (height > 0).to(tl.int32)
    while changed > 0:
        changed = _relax_lines(window, down, main, anti, height, width, width, 1, image_width, 1, 1, LINE)
        changed += _relax_lines(window, right, main, anti, width, height, 1, width, 1, image_width, 1, LINE)
        changed += _relax_lines(window, down, main, anti, height, width, width, 1, image_width, 1, -1, LINE)
        changed += _relax_lines(window, right, main, anti, width, height, 1, width, 1, image_width, -1, LINE)

    sums = tl.zeros((LINE,), tl.float32)
    for y in range(0, height):
        for start in range(0, width, LINE):
            x = start + tl.arange(0, LINE)
            cost = tl.load(window + y * width + x, mask=x < width, other=float("inf"))
            across, away = tl.abs(x - column).to(tl.float32), tl.abs(y - row).to(tl.float32)
            longer, shorter = tl.maximum(across, away), tl.minimum(across, away)
            detour = tl.maximum(cost - (longer + 0.41421356237309503 * shorter), 0.0)
            distance = tl.sqrt(across * across + away * away) + detour
            value = tl.exp(-distance * distance * steep)
            tl.store(window + y * width + x, value, mask=x < width)
            sums += tl.where(x < width, value, 0.0)
    plain = _axis_sum(0 - radius, radius + 1, 0, radius, 0.0, steep, BLOCK)
    mass = tl.where(conserve != 0, tl.sum(sums), plain * plain)
    tl.store(scales + person, 1.0 / mass)


@triton.jit
def add_windows(
    people,  # as above
    bases,
    windows,
    scales,
    members,  # (M,) int32: people, tile by tile
    starts,  # (tiles + 1,) int64
    maps,  # (B, H, W) float32, added to
    image_height,
    image_width,
    tiles_down,
    tiles_across,
    TILE_HEIGHT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
):
    """One program per tile of the output: the windows that touch it, in their order."""
    tile = tl.program_id(0).to(tl.int64)
    row = (tile // tiles_across % tiles_down).to(tl.int32) * TILE_HEIGHT + tl.arange(0, TILE_HEIGHT)
    column = (tile % tiles_across).to(tl.int32) * TILE_WIDTH + tl.arange(0, TILE_WIDTH)
    there = (row < image_height)[:, None] & (column < image_width)[None, :]
    place = ((tile // tiles_across // tiles_down) * image_height + row[:, None]) * image_width + column[
        None, :
    ]
    total = tl.load(maps + place, mask=there, other=0.0)
    for member in range(tl.load(starts + tile), tl.load(starts + tile + 1)):
        person = tl.load(members + member).to(tl.int64)
        height, width = tl.load(people + person * 8 + 3), tl.load(people + person * 8 + 4)
        y, x = row - tl.load(people + person * 8 + 1), column - tl.load(people + person * 8 + 2)
        touched = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
        window = windows + tl.load(bases + person)
        values = tl.load(window + y[:, None] * width + x[None, :], mask=touched, other=0.0)
        total += tl.load(scales + person) * values
    tl.store(maps + place, total, mask=there)


def geodesic_splat(
    points: Tensor,
    sigma: Tensor,
    offsets: Tensor,
    height: int,
    width: int,
    stride: int,
    truncate: float,
    conserve: bool,
    roi: Tensor | None,
    image: Tensor | None,
    weight: float,
    gain: float,
) -> Tensor:
    """See skt_ext.ops.geodesic_splat.reference, whose arguments and result these are."""
    scale = weight * gain / (1 - weight)
    changes = None if image is None or scale == 0 else image
    if roi is None and changes is None:  # nothing in the way: the straight line is the shortest
        kernels, widths = points[:, None], sigma[:, None, None].expand(-1, 1, 2)
        return density_splat(kernels, widths, offsets, height, width, stride, truncate, conserve, False, None)
    images, people = len(offsets) - 1, len(points)
    maps = points.new_zeros((images, height, width), dtype=torch.float32)
    if images > 0 and people > 0:
        steps = step_costs(roi, changes, scale)
        in_image = image_of(people, offsets)
        inside = stand_inside(points, in_image, images, height, width, roi)
        pixel = torch.where(inside[:, None], points, 0).floor().to(torch.int64)  # (P, 2)
        radius = (truncate * sigma + 0.5).floor().clamp(max=2**30).to(torch.int64)
        windows = windows_around(pixel, radius[:, None], in_image, inside, height, width)
        steepness = (0.5 / sigma.square()).clamp(max=1e30).to(torch.float32)
        for chosen in _groups((windows.bottom - windows.top) * (windows.right - windows.left)):
            _add_people(
                maps,
                pixel[chosen],
                radius[chosen],
                Windows(*(bound[chosen] for bound in windows)),
                steepness[chosen],
                steps,
                conserve,
            )
    return sum_blocks(maps, stride)


def step_costs(
    roi: Tensor | None, image: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Costs in pixels of the steps down, right, down to the right and down to the left: length + scale * |change|.

    roi (B, H, W) bool and image (B, C, H, W) float32, one of them may be None -> four (B, H, W) float32. The last
    two are of the step within the 2 x 2 pixels whose top left one is meant. Infinity where a pixel that the step
    leaves, enters or passes is out of the region or the image.
    """
    like = roi if roi is not None else image
    assert like is not None
    shape = (like.shape[0], *like.shape[-2:])
    costs = [torch.full(shape, math.inf, dtype=torch.float32, device=like.device) for _ in range(4)]
    rows, columns = shape[1:]
    top, bottom, left, right = slice(0, rows - 1), slice(1, rows), slice(0, columns - 1), slice(1, columns)
    everywhere = slice(None)
    moves = [
        (1.0, (top, everywhere), (bottom, everywhere)),
        (1.0, (everywhere, left), (everywhere, right)),
        (_SQRT2, (top, left), (bottom, right)),
        (_SQRT2, (top, right), (bottom, left)),
    ]
    for cost, (length, start, end) in zip(costs, moves, strict=True):
        place = (..., start[0], left if end[1] == left else start[1])
        here = cost[place]
        here.fill_(length)
        if image is not None:
            here.add_((image[..., start[0], start[1]] - image[..., end[0], end[1]]).abs().sum(1), alpha=scale)
        if roi is not None:
            passed = [(start[0], start[1]), (end[0], end[1])]
            if length > 1:
                passed += [(start[0], end[1]), (end[0], start[1])]
            for y, x in passed:
                here.masked_fill_(~roi[..., y, x], math.inf)
    return costs[0], costs[1], costs[2], costs[3]


def _groups(areas: Tensor) -> list[slice]:
    """People in groups whose windows take about SCRATCH together, so that memory is bounded."""
    starts = areas.cumsum(0) - areas
    group = starts // SCRATCH
    bounds = torch.searchsorted(group, torch.arange(int(group[-1]) + 2, device=areas.device)).tolist()
    return [slice(low, high) for low, high in pairwise(bounds) if high > low]


def _add_people(
    maps: Tensor,
    pixel: Tensor,
    radius: Tensor,
    windows: Windows,
    steepness: Tensor,
    steps: tuple[Tensor, Tensor, Tensor, Tensor],
    conserve: bool,
) -> None:
    """Add the windows of one group of people, with their middles in pixel (P, 2) [x, y], to maps (B, H, W)."""
    images, height, width = maps.shape
    heights, widths = windows.bottom - windows.top, windows.right - windows.left
    areas = heights * widths
    bases = areas.cumsum(0) - areas
    values = maps.new_empty(int(areas.sum()))
    row, column = pixel[:, 1] - windows.top, pixel[:, 0] - windows.left
    image = windows.image.clamp(0, images - 1)
    people = torch.stack((image, windows.top, windows.left, heights, widths, row, column, radius), 1)
    people = people.to(torch.int32)
    scales = torch.empty_like(steepness)
    with torch.cuda.device_of(maps):
        fill_windows[(len(people),)](
            people,
            steepness,
            bases,
            values,
            scales,
            *steps,
            height,
            width,
            int(conserve),
            LINE=LINE,
            BLOCK=BLOCK,
            num_warps=1,
        )
    splat_by_tiles(add_windows, (people, bases, values, scales), windows, maps, (height, width), stride=1)
