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


def _cosine_loss(
    student: Tensor, teacher: Tensor, eps: float, scale: float, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    loss = student.new_empty((), dtype=accumulation_dtype(student, teacher))
    if not with_gradient:
        return loss, student.new_empty((0,))
    return loss, torch.empty_like(student, memory_format=memory_format_of(student))


def _rescale_(gradient: Tensor, grad: Tensor, scale: float) -> None:
    return None


def _pool_and_pack(
    features: Sequence[Tensor], kernels: Sequence[int], normalize: bool, with_argmax: bool
) -> tuple[Tensor, Tensor, Tensor]:
    first = features[0]
    batch, channels = first.shape[0], sum(feature.shape[1] for feature in features)
    positions = -(-first.shape[2] // kernels[0]) * -(-first.shape[3] // kernels[1])
    packed = first.new_empty((batch, channels, positions), dtype=accumulation_dtype(*features))
    argmax = first.new_empty(packed.shape if with_argmax else (0,), dtype=torch.uint8)
    return packed, argmax, packed.new_empty((batch, channels) if normalize else (0,))


def _pool_and_pack_backward(
    grad: Tensor,
    packed: Tensor,
    argmax: Tensor,
    inverse_deviation: Tensor,
    features: Sequence[Tensor],
    kernels: Sequence[int],
) -> list[Tensor]:
    return [torch.empty_like(feature, memory_format=memory_format_of(feature)) for feature in features]


def _dense_fsp_distance(
    student: Tensor, teacher: Tensor, channels: Sequence[int], adjacent: bool, precision: str
) -> tuple[Tensor, Tensor]:
    batch, total, _ = student.shape
    return student.new_empty((batch,)), student.new_empty((batch, total, total))


def _dense_fsp_distance_backward(
    grad: Tensor,
    student: Tensor,
    difference: Tensor,
    channels: Sequence[int],
    adjacent: bool,
    precision: str,
) -> Tensor:
    return student.new_empty(student.shape)


def _embedded_distance(
    student: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    teacher: Tensor | None,
    relu: bool,
    eps: float,
    kernel_h: int,
    kernel_w: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, _, height, width = student.shape
    operands = [tensor for tensor in (student, weight, bias, teacher) if tensor is not None]
    loss = student.new_empty((), dtype=accumulation_dtype(*operands))
    pooled_shape: tuple[int, ...] = (0,)
    if kernel_h > 0:
        pooled_shape = (batch, weight.shape[0], -(-height // kernel_h), -(-width // kernel_w))
    return (
        loss,
        loss.new_empty(pooled_shape),
        loss.new_empty(pooled_shape, dtype=torch.uint8),
        loss.new_empty((0,) if teacher is None else (batch, 3, height, width)),
    )


def _embedded_distance_backward(
    grad_loss: Tensor,
    grad_pooled: Tensor | None,
    student: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    teacher: Tensor | None,
    argmax: Tensor,
    statistics: Tensor,
    relu: bool,
    eps: float,
    kernel_h: int,
    kernel_w: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(student, memory_format=memory_format_of(student)),
        weight.new_empty(weight.shape),
        weight.new_empty((0,)) if bias is None else bias.new_empty(bias.shape),
    )


def _density_splat(
    points: Tensor,
    sigma: Tensor,
    height: int,
    width: int,
    truncate: float,
    conserve: bool,
    roi: Tensor | None,
) -> Tensor:
    return points.new_empty((height, width), dtype=torch.float32)


for _function in (
    _cosine_distance,
    _cosine_distance_backward,
    _max_pool_resize,
    _max_pool_resize_backward,
    _cosine_loss,
    _rescale_,
    _pool_and_pack,
    _pool_and_pack_backward,
    _dense_fsp_distance,
    _dense_fsp_distance_backward,
    _embedded_distance,
    _embedded_distance_backward,
    _density_splat,
):
    torch.library.register_fake(f"{_library.NAMESPACE}::{_function.__name__[1:]}")(_function)
