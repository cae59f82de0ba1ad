"""1 - s.t / (max(|s|, eps) max(|t|, eps)) at every pixel, summed or not, made together with its gradient.

The gradient is made in the forward pass, where student and teacher are at hand, for the factor that backward is
expected to bring. Backward then needs neither of them, and with that factor it has nothing left to do.
"""

from typing import Any

import torch
from torch import Tensor

from skt_ext._numerics import accumulation_dtype, memory_format_of
from skt_ext.ops._operator import Operator, refuse_second_derivative

SCHEMA = (
    "cosine_loss(Tensor student, Tensor teacher, float eps, float scale, bool with_gradient, bool per_pixel) "
    "-> (Tensor loss, Tensor gradient)"
)
RESCALE_SCHEMA = "rescale_(Tensor(a!) gradient, Tensor grad, float scale) -> ()"


def reference(
    student: Tensor, teacher: Tensor, eps: float, scale: float, with_gradient: bool, per_pixel: bool
) -> tuple[Tensor, Tensor]:
    """The distances of student and teacher, (N, C, H, W) each, and `scale` times the gradient of their sum.

    Returns:
        The sum (), or the distances (N, H, W) if `per_pixel`, and the gradient for student (N, C, H, W), empty if
        not wanted. A float16 gradient would lose its small values before a gradient scaler's factor reaches it,
        so that of a float16 student is float32.
    """
    distance, statistics = cosine_distance(student, teacher, eps)
    gradient = student.new_empty((0,), dtype=gradient_dtype(student, teacher))
    if with_gradient:
        made = cosine_distance_gradient(torch.full_like(distance, scale), student, teacher, statistics, eps)
        gradient = made.to(gradient.dtype).contiguous(memory_format=memory_format_of(student))
    return distance if per_pixel else distance.sum(), gradient


def cosine_distance(student: Tensor, teacher: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The distances (N, H, W), and (N, 3, H, W) the three dot products s.t, s.s, t.t that they are made of."""
    dtype = accumulation_dtype(student, teacher)
    student, teacher = student.to(dtype), teacher.to(dtype)
    statistics = torch.stack(
        [(student * teacher).sum(1), (student * student).sum(1), (teacher * teacher).sum(1)], dim=1
    )
    dot, student_square, teacher_square = statistics.unbind(1)
    lengths = student_square.sqrt().clamp(min=eps) * teacher_square.sqrt().clamp(min=eps)
    return 1 - dot / lengths, statistics


def cosine_distance_gradient(
    grad: Tensor, student: Tensor, teacher: Tensor, statistics: Tensor, eps: float
) -> Tensor:
    """Gradient of `cosine_distance` for student, (N, C, H, W), in the dtype of the statistics.

    It is defined as 0 where the student's vector is exactly zero: the clamped formula gives 1 / eps there.
    """
    dot, student_square, teacher_square = statistics.unbind(1)  # (N, H, W) each
    student_length = student_square.sqrt()
    student_inverse = 1 / student_length.clamp(min=eps)
    teacher_inverse = 1 / teacher_square.sqrt().clamp(min=eps)
    scale = torch.where(student_square == 0, 0, -grad * student_inverse * teacher_inverse)
    # Below eps the student's length is a constant of the formula, so only the teacher's direction is left.
    along_student = torch.where(student_length > eps, dot * student_inverse * student_inverse, 0)
    dtype = statistics.dtype
    return scale[:, None] * (teacher.to(dtype) - along_student[:, None] * student.to(dtype))


def gradient_dtype(student: Tensor, teacher: Tensor) -> torch.dtype:
    return accumulation_dtype(student, teacher) if student.dtype == torch.float16 else student.dtype


def fake(
    student: Tensor, teacher: Tensor, eps: float, scale: float, with_gradient: bool, per_pixel: bool
) -> tuple[Tensor, Tensor]:
    batch, _, height, width = student.shape
    shape = (batch, height, width) if per_pixel else ()
    loss = student.new_empty(shape, dtype=accumulation_dtype(student, teacher))
    dtype = gradient_dtype(student, teacher)
    if not with_gradient:
        return loss, student.new_empty((0,), dtype=dtype)
    return loss, torch.empty_like(student, dtype=dtype, memory_format=memory_format_of(student))


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    student, _, _, scale, with_gradient, per_pixel = inputs
    _, gradient = output
    if not with_gradient:
        raise RuntimeError("skt_ext::cosine_loss needs with_gradient=True where student requires a gradient")
    ctx.save_for_backward(gradient)
    ctx.scale, ctx.per_pixel, ctx.dtype = scale, per_pixel, student.dtype
    with torch.enable_grad():
        ctx.to_student = _NoSecondDerivative.apply(student)  # type: ignore[no-untyped-call]
    ctx.mark_non_differentiable(gradient)
    ctx.set_materialize_grads(False)


def gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None, None, None]:
    fixed = (None, None, None, None, None)
    if grad is None:
        return None, *fixed
    (made,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # create_graph=True
        grad = grad + ctx.to_student.sum()
    traced = type(made) is not Tensor  # by torch.compile, which puts its own storage to use
    kept = torch.is_grad_enabled() or traced or torch._C._autograd._get_current_graph_task_keep_graph()
    if ctx.per_pixel and not traced and grad.numel() > 0 and not any(grad.stride()):
        grad = grad[0, 0, 0]  # the same for all pixels: their sum was what was wanted
    per_pixel = grad.ndim > 0
    if not (kept or per_pixel):  # autograd is about to drop it
        torch.ops.skt_ext.rescale_(made, grad, ctx.scale)
    else:
        factor = (grad[:, None] if per_pixel else grad) / ctx.scale  # (N, 1, H, W) or ()
        made = made * factor if kept else made.mul_(factor)
    return made.to(ctx.dtype), *fixed


class _NoSecondDerivative(torch.autograd.Function):
    """An empty tensor that depends on the student and keeps nothing of it; differentiating it raises.

    The first derivative depends on it, and so cannot pass for one that does not depend on the student.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor) -> Tensor:
        return student.new_empty(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        refuse_second_derivative("cosine_loss")


def rescale(gradient: Tensor, grad: Tensor, scale: float) -> None:
    """gradient *= grad / scale: a gradient made for one factor, a number, becomes that for another, ()."""
    dtype = accumulation_dtype(gradient, grad)
    gradient.copy_(gradient.to(dtype) * (grad.to(dtype) / scale))


def rescale_fake(gradient: Tensor, grad: Tensor, scale: float) -> None:
    return None


OPERATORS = (
    Operator(SCHEMA, reference, fake, save, gradient, fixed=("teacher",)),
    Operator(RESCALE_SCHEMA, rescale, rescale_fake),
)
