"""Density maps of Gaussians of the geodesic distance: that of the shortest way around walls and outlines.

A step between neighbouring pixels costs (1 - weight) * its length + weight * gain * |change of the image|, the
change summed over channels. There are eight neighbours; a step out of the region, or a diagonal one past a pixel
outside it, is not taken. The distance is

    D(x) = |x - p| + (G(x) - (1 - weight) G0(x)) / (1 - weight)

where G is the cost of the cheapest path from p, and G0 the length of the shortest one on open ground: the straight
line, and the detour in pixels. Without region and image it is the Euclidean distance.
"""

import heapq
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from skt_ext.ops._operator import Operator
from skt_ext.ops.density_splat import fake, stands_inside, sum_blocks

SCHEMA = (
    "geodesic_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, Tensor? roi, Tensor? image, float weight, float gain) -> Tensor"
)
STEPS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def path_costs(
    start: tuple[int, int], region: Tensor, image: Tensor | None, weight: float, gain: float
) -> Tensor:
    """Cost of the cheapest path from the pixel `start` (row, column) to every pixel.

    region (H, W) bool, image (C, H, W) -> (H, W) float64, infinity where no path leads
    """
    height, width = region.shape
    inside = region.tolist()
    values = None if image is None else image.double().permute(1, 2, 0).tolist()  # [row][column][channel]

    def steps(row: int, column: int) -> Iterator[tuple[int, int, float]]:
        for down, right in STEPS:
            y, x = row + down, column + right
            if not (0 <= y < height and 0 <= x < width):
                continue
            if inside[y][x] and inside[row][x] and inside[y][column]:
                cost = (1 - weight) * math.hypot(down, right)
                if values is not None:
                    change = sum(abs(a - b) for a, b in zip(values[y][x], values[row][column], strict=True))
                    cost += weight * gain * change
                yield y, x, cost

    costs = [[math.inf] * width for _ in range(height)]
    costs[start[0]][start[1]] = 0.0
    queue = [(0.0, *start)]
    while queue:
        cost, row, column = heapq.heappop(queue)
        if cost > costs[row][column]:
            continue
        for y, x, step in steps(row, column):
            if cost + step < costs[y][x]:
                costs[y][x] = cost + step
                heapq.heappush(queue, (cost + step, y, x))
    return torch.tensor(costs, dtype=torch.float64)


def geodesic_distance(
    start: tuple[int, int], region: Tensor, image: Tensor | None, weight: float, gain: float
) -> Tensor:
    """D from the pixel `start` (row, column) to every pixel: region (H, W), image (C, H, W) -> (H, W) float64."""
    rows = (torch.arange(region.shape[0], dtype=torch.float64) - start[0]).abs()[:, None]
    columns = (torch.arange(region.shape[1], dtype=torch.float64) - start[1]).abs()[None, :]
    longer, shorter = torch.maximum(rows, columns), torch.minimum(rows, columns)
    open_ground = longer + (math.sqrt(2) - 1) * shorter  # the shortest path of straight and diagonal steps
    detour = path_costs(start, region, image, weight, gain) / (1 - weight) - open_ground
    return torch.hypot(rows, columns) + detour.clamp(min=0)  # below 0 by rounding only


def reference(
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
    """exp(-D^2 / (2 sigma^2)) for each person, within a square window that paths do not leave.

    points (P, 2) [x, y], sigma (P,), offsets (B + 1,), roi (B, height, width), image (B, C, height, width) ->
    people per cell (B, ceil(height / stride), ceil(width / stride)) float32
    """
    maps = points.new_zeros(offsets.shape[0] - 1, height, width)
    bounds = offsets.tolist()
    everywhere = torch.ones(height, width, dtype=torch.bool, device=points.device)
    for i, density in enumerate(maps):
        region = everywhere if roi is None else roi[i]
        for person in range(bounds[i], bounds[i + 1]):
            if not stands_inside(points[person].tolist(), height, width, region):
                continue
            column, row = (math.floor(value) for value in points[person].tolist())
            spread = float(sigma[person])
            radius = int(truncate * spread + 0.5)
            rows = slice(max(row - radius, 0), min(row + radius + 1, height))
            columns = slice(max(column - radius, 0), min(column + radius + 1, width))
            distance = geodesic_distance(
                (row - rows.start, column - columns.start),
                region[rows, columns],
                None if image is None else image[i, :, rows, columns],
                weight,
                gain,
            )
            window = torch.exp(-0.5 * (distance / spread) ** 2)
            mass = window.sum() if conserve else _plain_mass(radius, spread)
            density[rows, columns] += (window / mass).to(density)
    return sum_blocks(maps, stride).to(torch.float32)


def _plain_mass(radius: int, sigma: float) -> float:
    """The sum of the plain Gaussian over the whole window."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return float(torch.exp(-0.5 * (offsets / sigma) ** 2).sum() ** 2)


OPERATORS = (Operator(SCHEMA, reference, fake, fixed=("points", "sigma", "image"), in_triton=True),)
