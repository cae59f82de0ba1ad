"""Shapes, dtypes and memory formats of the operators' outputs, for torch.compile and torch.export."""

from collections.abc import Sequence

import torch
from torch import Tensor

from skt_ext import _library
from skt_ext._numerics import accumulation_dtype, memory_format_of


def _cosine_distance(student: Tensor, teacher: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    batch, _, height, width = student.shape
    dtype = accumulation_dtype(student, teacher)
    distance = student.new_empty((batch, height, width), dtype=dtype)
    return distance, student.new_empty((batch, 3, height, width), dtype=dtype)


def _cosine_distance_backward(
    grad: Tensor, student: Tensor, teacher: Tensor, statistics: Tensor, eps: float
) -> Tensor:
    return torch.empty_like(student, memory_format=memory_format_of(student))


def _max_pool_resize(input: Tensor, kernel_h: int, kernel_w: int) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = input.shape
    output = torch.empty(
        (batch, channels, -(-height // kernel_h), -(-width // kernel_w)),
        dtype=input.dtype,
        device=input.device,
        memory_format=memory_format_of(input),
    )
    return output, torch.empty_like(output, dtype=torch.uint8 if kernel_h * kernel_w <= 256 else torch.int32)


def _max_pool_resize_backward(
    grad: Tensor, argmax: Tensor, kernel_h: int, kernel_w: int, height: int, width: int
) -> Tensor:
    return torch.empty(
        (argmax.shape[0], argmax.shape[1], height, width),
        dtype=grad.dtype,
        device=grad.device,
        memory_format=memory_format_of(argmax),
    )


def _dense_fsp_distance(
    student: Tensor, teacher: Tensor, channels: Sequence[int], adjacent: bool
) -> tuple[Tensor, Tensor]:
    batch, total, _ = student.shape
    return student.new_empty((batch,)), student.new_empty((batch, total, total))


def _dense_fsp_distance_backward(grad: Tensor, student: Tensor, difference: Tensor) -> Tensor:
    return student.new_empty(student.shape)


def _density_splat(
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
    return _maps(points, offsets, height, width, stride)


def _geodesic_splat(
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
    return _maps(points, offsets, height, width, stride)


def _maps(points: Tensor, offsets: Tensor, height: int, width: int, stride: int) -> Tensor:
    cells = (offsets.shape[0] - 1, -(-height // stride), -(-width // stride))
    return points.new_empty(cells, dtype=torch.float32)


def _geodesic_neighbors(
    points: Tensor,
    neighbors: int,
    height: int,
    width: int,
    roi: Tensor | None,
    image: Tensor | None,
    weight: float,
    gain: float,
) -> Tensor:
    return points.new_empty((points.shape[0], neighbors))


for _function in (
    _cosine_distance,
    _cosine_distance_backward,
    _max_pool_resize,
    _max_pool_resize_backward,
    _dense_fsp_distance,
    _dense_fsp_distance_backward,
    _density_splat,
    _geodesic_splat,
    _geodesic_neighbors,
):
    torch.library.register_fake(f"{_library.NAMESPACE}::{_function.__name__[1:]}")(_function)
