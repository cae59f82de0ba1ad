"""h = weight student + bias, perhaps with a ReLU: its cosine distance to the teacher, and h max-pooled.

h, in the teacher's many channels, is the largest tensor of a training step and exists only to be compared and pooled;
this operator does both without storing it, and backward computes it again.
"""

from typing import Any

import torch
from torch import Tensor

from skt_ext._numerics import accumulation_dtype, memory_format_of
from skt_ext.ops._operator import Operator, once_differentiable
from skt_ext.ops.cosine_loss import cosine_distance, cosine_distance_gradient
from skt_ext.ops.pool_and_pack import max_pool, max_pool_gradient

SCHEMA = (
    "embedded_distance(Tensor student, Tensor weight, Tensor? bias, Tensor? teacher, bool relu, float eps, "
    "SymInt kernel_h, SymInt kernel_w) -> (Tensor loss, Tensor pooled, Tensor argmax, Tensor statistics)"
)
BACKWARD_SCHEMA = (
    "embedded_distance_backward(Tensor grad_loss, Tensor? grad_pooled, Tensor student, Tensor weight, "
    "Tensor? bias, Tensor? teacher, Tensor argmax, Tensor statistics, bool relu, float eps, "
    "SymInt kernel_h, SymInt kernel_w) -> (Tensor grad_student, Tensor grad_weight, Tensor grad_bias)"
)


def reference(
    student: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    teacher: Tensor | None,
    relu: bool,
    eps: float,
    kernel_h: int,
    kernel_w: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """student (N, C_s, H, W), weight (C_t, C_s), bias (C_t,), teacher (N, C_t, H, W).

    Returns:
        loss () summed over images and pixels; pooled (N, C_t, ceil(H / kernel_h), ceil(W / kernel_w)); argmax, as
        large: the offset of each winner in its window; statistics (N, 3, H, W): the dot products h.t, h.h, t.t.
        Without a teacher the loss is 0 and statistics is empty; with kernel_h = kernel_w = 0 pooled and argmax are.
    """
    hidden = _embedded(student, weight, bias, teacher, relu)
    loss, statistics = hidden.new_zeros(()), hidden.new_empty((0,))
    if teacher is not None:
        distance, statistics = cosine_distance(hidden, teacher, eps)
        loss = distance.sum()
    pooled, argmax = hidden.new_empty((0,)), hidden.new_empty((0,), dtype=torch.uint8)
    if kernel_h > 0:
        pooled, argmax = max_pool(hidden, kernel_h, kernel_w)
    return loss, pooled.contiguous(), argmax.contiguous(), statistics


def _embedded(
    student: Tensor, weight: Tensor, bias: Tensor | None, teacher: Tensor | None, relu: bool
) -> Tensor:
    """h (N, C_t, H, W), in the dtype of the computation."""
    dtype = _dtype_of(student, weight, bias, teacher)
    hidden = torch.einsum("oi,nihw->nohw", weight.to(dtype), student.to(dtype))
    if bias is not None:
        hidden = hidden + bias.to(dtype)[:, None, None]
    return hidden.relu() if relu else hidden


def _dtype_of(*operands: Tensor | None) -> torch.dtype:
    return accumulation_dtype(*(operand for operand in operands if operand is not None))


def fake(
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
    loss = student.new_empty((), dtype=_dtype_of(student, weight, bias, teacher))
    pooled_shape: tuple[int, ...] = (0,)
    if kernel_h > 0:
        pooled_shape = (batch, weight.shape[0], -(-height // kernel_h), -(-width // kernel_w))
    return (
        loss,
        loss.new_empty(pooled_shape),
        loss.new_empty(pooled_shape, dtype=torch.uint8),
        loss.new_empty((0,) if teacher is None else (batch, 3, height, width)),
    )


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    student, weight, bias, teacher, *options = inputs
    _, _, argmax, statistics = output
    ctx.save_for_backward(student, weight, bias, teacher, argmax, statistics)
    ctx.options = options  # relu, eps, kernel_h, kernel_w
    ctx.mark_non_differentiable(argmax, statistics)
    ctx.set_materialize_grads(False)


def gradient(
    ctx: Any, grad_loss: Tensor | None, grad_pooled: Tensor | None, _: None, __: None
) -> tuple[Tensor | None, ...]:
    student, weight, bias, teacher, argmax, statistics = ctx.saved_tensors
    fixed = (None,) * (1 + len(ctx.options))
    if grad_loss is None and grad_pooled is None:
        return None, None, None, *fixed
    if grad_loss is None:
        assert grad_pooled is not None
        grad_loss = grad_pooled.new_zeros(())
    grad_student, grad_weight, grad_bias = torch.ops.skt_ext.embedded_distance_backward(
        grad_loss, grad_pooled, student, weight, bias, teacher, argmax, statistics, *ctx.options
    )
    return grad_student, grad_weight, None if bias is None else grad_bias, *fixed


def backward_reference(
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
    """Gradients for student, weight and bias (empty without one), in their dtypes."""
    hidden = _embedded(student, weight, bias, teacher, relu)
    grad = torch.zeros_like(hidden)  # (N, C_t, H, W)
    if teacher is not None:
        grad = grad + cosine_distance_gradient(
            grad_loss.expand(hidden[:, 0].shape), hidden, teacher, statistics, eps
        )
    if grad_pooled is not None:
        grad = grad + max_pool_gradient(grad_pooled, argmax, kernel_h, kernel_w, *hidden.shape[2:])
    if relu:
        grad = torch.where(hidden <= 0, 0, grad)  # a NaN goes on
    dtype = hidden.dtype
    grad_student = torch.einsum("oi,nohw->nihw", weight.to(dtype), grad).to(student.dtype)
    grad_weight = torch.einsum("nohw,nihw->oi", grad, student.to(dtype)).to(weight.dtype)
    grad_bias = weight.new_empty((0,)) if bias is None else grad.sum((0, 2, 3)).to(bias.dtype)
    return (
        grad_student.contiguous(memory_format=memory_format_of(student)),
        grad_weight.contiguous(),
        grad_bias,
    )


def backward_fake(
    grad_loss: Tensor,
    grad_pooled: Tensor | None,
    student: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(student, memory_format=memory_format_of(student)),
        weight.new_empty(weight.shape),
        weight.new_empty((0,)) if bias is None else bias.new_empty(bias.shape),
    )


OPERATORS = (
    Operator(SCHEMA, reference, fake, save, gradient, fixed=("teacher",)),
    Operator(
        BACKWARD_SCHEMA, backward_reference, backward_fake, gradient=once_differentiable("embedded_distance")
    ),
)
