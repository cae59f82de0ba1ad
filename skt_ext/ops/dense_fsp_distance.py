"""sum over pairs i < j of |T_i T_j^T - S_i S_j^T|^2 / P^2: all FSP matrices of packed features, compared at once.

The features stand packed along the channels, so one product with itself holds the matrices of all pairs; the blocks
on its diagonal, a feature with itself, are left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from skt_ext.ops._operator import Operator, once_differentiable

SCHEMA = (
    "dense_fsp_distance(Tensor student, Tensor teacher, int[] channels, bool adjacent, str precision) "
    "-> (Tensor distance, Tensor difference)"
)
BACKWARD_SCHEMA = (
    "dense_fsp_distance_backward(Tensor grad, Tensor student, Tensor difference, int[] channels, "
    "bool adjacent, str precision) -> Tensor"
)


def reference(
    student: Tensor, teacher: Tensor, channels: Sequence[int], adjacent: bool, precision: str
) -> tuple[Tensor, Tensor]:
    """student and teacher (N, C, P): all features, packed along the channels, `channels` of them in each.

    Returns:
        distance (N,); difference (N, C, C) of the FSP matrices, zero where no pair is compared.
    """
    positions = student.shape[2]
    student, teacher = _rounded(student, precision), _rounded(teacher, precision)
    difference = teacher @ teacher.mT - student @ student.mT
    mask = _pair_mask(channels, adjacent, student.device)
    difference = torch.where(mask, difference / positions, 0)
    # Each pair stands twice in the symmetric matrix.
    return difference.square().sum((1, 2)) / 2, difference


def _rounded(operand: Tensor, precision: str) -> Tensor:
    """Operands of a matrix product as the named precision sees them; sums stay in float32."""
    if operand.dtype == torch.float64 or precision == "float32":
        return operand
    if precision == "tf32":  # 10 bits of mantissa, to nearest, ties away from zero
        rounded = ((operand.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
        return torch.where(operand.isnan(), operand, rounded)  # the sum may have run over
    return operand.to({"bfloat16": torch.bfloat16, "float16": torch.float16}[precision]).float()


def _pair_mask(channels: Sequence[int], adjacent: bool, device: torch.device) -> Tensor:
    """(C, C) bool: do these two channels belong to two different (or neighbouring) features?"""
    feature = torch.repeat_interleave(
        torch.arange(len(channels), device=device), torch.tensor(channels, dtype=torch.long, device=device)
    )
    apart = (feature[:, None] - feature[None, :]).abs()
    return apart == 1 if adjacent else apart > 0


def fake(student: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    batch, total, _ = student.shape
    return student.new_empty((batch,)), student.new_empty((batch, total, total))


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    student, _, *options = inputs
    _, difference = output
    ctx.save_for_backward(student, difference)
    ctx.options = options  # channels, adjacent, precision
    ctx.mark_non_differentiable(difference)
    ctx.set_materialize_grads(False)


def gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None, None]:
    if grad is None:
        return None, None, None, None, None
    made = torch.ops.skt_ext.dense_fsp_distance_backward(grad, *ctx.saved_tensors, *ctx.options)
    return made, None, None, None, None


def backward_reference(
    grad: Tensor,
    student: Tensor,
    difference: Tensor,
    channels: Sequence[int],
    adjacent: bool,
    precision: str,
) -> Tensor:
    """Gradient for student, (N, C, P): -(2 / P) grad_n difference_n student_n."""
    # A difference can lie beyond float16's range; tf32 has as many bits and the range of float32.
    precision = "tf32" if precision == "float16" else precision
    scale = grad * (-2 / student.shape[2])
    return scale[:, None, None] * (_rounded(difference, precision) @ _rounded(student, precision))


def backward_fake(grad: Tensor, student: Tensor, *options: Any) -> Tensor:
    return student.new_empty(student.shape)


OPERATORS = (
    Operator(SCHEMA, reference, fake, save, gradient, fixed=("teacher",)),
    Operator(
        BACKWARD_SCHEMA,
        backward_reference,
        backward_fake,
        gradient=once_differentiable("dense_fsp_distance"),
    ),
)
