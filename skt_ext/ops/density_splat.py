"""Density maps of truncated Gaussians: D = sum over people and their kernels of exp(-|x - p|^2 / (2 sigma^2)) / Z."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext.ops._operator import Operator

SCHEMA = (
    "density_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, bool subpixel, Tensor? roi) -> Tensor"
)


def reference(
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
    """A person is the sum of K truncated Gaussians of equal mass; those of image b are offsets[b] to offsets[b + 1].

    points, sigma (P, K, 2) [x, y], offsets (B + 1,), roi (B, height, width) -> people per cell of stride x stride
    pixels (B, ceil(height / stride), ceil(width / stride)) float32. The first kernel is where the person stands.
    """
    maps = points.new_zeros(offsets.shape[0] - 1, height, width)
    bounds = offsets.tolist()
    for image, density in enumerate(maps):
        region = None if roi is None else roi[image]
        for person in range(bounds[image], bounds[image + 1]):
            if stands_inside(points[person, 0].tolist(), height, width, region):
                _add_person(density, points[person], sigma[person], truncate, conserve, subpixel, region)
    return sum_blocks(maps, stride).to(torch.float32)


def _add_person(
    density: Tensor,
    middles: Tensor,
    sigma: Tensor,
    truncate: float,
    conserve: bool,
    subpixel: bool,
    roi: Tensor | None,
) -> None:
    """Add the kernels around middles (K, 2), of sigma (K, 2), to density (H, W)."""
    windows = []
    for (x, y), (sigma_x, sigma_y) in zip(middles.tolist(), sigma.tolist(), strict=True):
        rows, row_weights = _profile(y, sigma_y, truncate, subpixel, density.shape[0])
        columns, column_weights = _profile(x, sigma_x, truncate, subpixel, density.shape[1])
        window = torch.outer(row_weights, column_weights).to(density)
        if roi is not None:
            window = window * roi[rows, columns]
        windows.append((rows, columns, window))
    mass = sum(window.sum() for _, _, window in windows) if conserve else len(windows)
    for rows, columns, window in windows:
        density[rows, columns] += window / mass


def _profile(middle: float, sigma: float, truncate: float, subpixel: bool, size: int) -> tuple[slice, Tensor]:
    """The part of a truncated Gaussian, of sum 1, that lies on an axis of `size` pixels; where it lies."""
    pixel, radius = math.floor(middle), int(truncate * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    if subpixel:
        offsets = offsets + (pixel + 0.5 - middle)  # from the person to the middles of the pixels
    weights = torch.softmax(-0.5 * (offsets / sigma) ** 2, 0)
    first = min(max(pixel - radius, 0), size)
    last = max(min(pixel + radius + 1, size), first)
    return slice(first, last), weights[first - pixel + radius : last - pixel + radius]


def stands_inside(point: list[float], height: int, width: int, roi: Tensor | None) -> bool:
    """Whether [x, y] is in a pixel of the image and of roi (height, width)."""
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        return False
    return roi is None or bool(roi[math.floor(y), math.floor(x)])


def sum_blocks(maps: Tensor, stride: int) -> Tensor:
    """Sums over blocks of stride x stride: (..., H, W) -> (..., ceil(H / stride), ceil(W / stride))."""
    height, width = maps.shape[-2:]
    # A block larger than the map is as good as one of the map's size, and takes no more memory.
    block_height, block_width = min(stride, max(height, 1)), min(stride, max(width, 1))
    rows, columns = -(-height // block_height), -(-width // block_width)
    padded = F.pad(maps, (0, columns * block_width - width, 0, rows * block_height - height))
    return padded.reshape(*maps.shape[:-2], rows, block_height, columns, block_width).sum((-3, -1))


def fake(
    points: Tensor, sigma: Tensor, offsets: Tensor, height: int, width: int, stride: int, *options: Any
) -> Tensor:
    cells = (offsets.shape[0] - 1, -(-height // stride), -(-width // stride))
    return points.new_empty(cells, dtype=torch.float32)


OPERATORS = (Operator(SCHEMA, reference, fake, fixed=("points", "sigma"), in_triton=True),)
