"""Gradients of the operators: the student gets one; asking for another, or a second derivative, raises."""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from skt_ext import _library

_ops = torch.ops.skt_ext


def _refuse_gradient(context: Any, arguments: dict[int, str]) -> None:
    """Raise where one of the arguments, given by position and name, requires a gradient."""
    for position, name in arguments.items():
        if context.needs_input_grad[position]:
            raise RuntimeError(
                f"{name} requires a gradient, which skt_ext does not compute: pass {name}.detach()"
            )


# cosine_distance


def _cosine_distance_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    student, teacher, eps = inputs
    _, statistics = output
    _refuse_gradient(ctx, {1: "teacher"})
    ctx.save_for_backward(student, teacher, statistics)
    ctx.eps = eps
    ctx.mark_non_differentiable(statistics)
    ctx.set_materialize_grads(False)


def _cosine_distance_gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None]:
    if grad is None:
        return None, None, None
    return _ops.cosine_distance_backward(grad, *ctx.saved_tensors, ctx.eps), None, None


# max_pool_resize


def _max_pool_resize_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, kernel_h, kernel_w = inputs
    _, argmax = output
    ctx.save_for_backward(argmax)
    ctx.sizes = (kernel_h, kernel_w, features.shape[2], features.shape[3])
    ctx.mark_non_differentiable(argmax)
    ctx.set_materialize_grads(False)


def _max_pool_resize_gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None]:
    if grad is None:
        return None, None, None
    (argmax,) = ctx.saved_tensors
    return _ops.max_pool_resize_backward(grad, argmax, *ctx.sizes), None, None


# cosine_loss


class _OnceDifferentiable(torch.autograd.Function):
    """A finished gradient, unchanged; differentiating it raises instead of giving a wrong zero."""

    @staticmethod
    def forward(ctx: Any, name: str, gradient: Tensor) -> Tensor:
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> None:
        _refuse_second_derivative(ctx.name)


def _refuse_second_derivative(name: str) -> NoReturn:
    raise RuntimeError(
        f"skt_ext::{name} has no second derivative: do not call backward with create_graph=True"
    )


def _cosine_loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, _, _, scale, with_gradient = inputs
    _, gradient = output
    _refuse_gradient(ctx, {1: "teacher"})
    if not with_gradient:
        raise RuntimeError("skt_ext::cosine_loss needs with_gradient=True where student requires a gradient")
    ctx.save_for_backward(gradient)
    ctx.scale = scale
    ctx.mark_non_differentiable(gradient)
    ctx.set_materialize_grads(False)


def _cosine_loss_gradient(
    ctx: Any, grad: Tensor | None, _: None
) -> tuple[Tensor | None, None, None, None, None]:
    if grad is None:
        return None, None, None, None, None
    (gradient,) = ctx.saved_tensors
    return _rescaled(gradient, grad, ctx.scale), None, None, None, None


def _rescaled(gradient: Tensor, grad: Tensor, scale: float) -> Tensor:
    """gradient * grad / scale; in place where autograd is about to drop the saved gradient."""
    if torch.is_grad_enabled():  # create_graph=True
        with torch.no_grad():
            rescaled = gradient * (grad / scale).to(gradient.dtype)
        return _OnceDifferentiable.apply(  # type: ignore[no-any-return]
            "cosine_loss", rescaled.requires_grad_()
        )
    traced = type(gradient) is not Tensor  # by torch.compile, which puts its own storage to use
    if traced or torch._C._autograd._get_current_graph_task_keep_graph():
        return gradient * (grad / scale).to(gradient.dtype)
    _ops.rescale_(gradient, grad, scale)
    return gradient


# pool_and_pack


def _pool_and_pack_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    features, kernels, _, with_argmax = inputs
    packed, argmax, inverse_deviation = output
    if not with_argmax:
        raise RuntimeError("skt_ext::pool_and_pack needs with_argmax=True where features require a gradient")
    ctx.save_for_backward(packed, argmax, inverse_deviation, *features)
    ctx.kernels = kernels
    ctx.mark_non_differentiable(argmax, inverse_deviation)
    ctx.set_materialize_grads(False)


def _pool_and_pack_gradient(
    ctx: Any, grad: Tensor | None, _: None, __: None
) -> tuple[list[Tensor] | list[None], None, None, None]:
    packed, argmax, inverse_deviation, *features = ctx.saved_tensors
    if grad is None:
        return [None] * len(features), None, None, None
    gradients = _ops.pool_and_pack_backward(grad, packed, argmax, inverse_deviation, features, ctx.kernels)
    return gradients, None, None, None


# dense_fsp_distance


def _dense_fsp_distance_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    student, _, *options = inputs
    _, difference = output
    _refuse_gradient(ctx, {1: "teacher"})
    ctx.save_for_backward(student, difference)
    ctx.options = options  # channels, adjacent, precision
    ctx.mark_non_differentiable(difference)
    ctx.set_materialize_grads(False)


def _dense_fsp_distance_gradient(
    ctx: Any, grad: Tensor | None, _: None
) -> tuple[Tensor | None, None, None, None, None]:
    if grad is None:
        return None, None, None, None, None
    gradient = _ops.dense_fsp_distance_backward(grad, *ctx.saved_tensors, *ctx.options)
    return gradient, None, None, None, None


# embedded_distance


def _embedded_distance_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    student, weight, bias, teacher, *options = inputs
    _, _, argmax, statistics = output
    _refuse_gradient(ctx, {3: "teacher"})
    ctx.save_for_backward(student, weight, bias, teacher, argmax, statistics)
    ctx.options = options  # relu, eps, kernel_h, kernel_w
    ctx.mark_non_differentiable(argmax, statistics)
    ctx.set_materialize_grads(False)


def _embedded_distance_gradient(
    ctx: Any, grad_loss: Tensor | None, grad_pooled: Tensor | None, _: None, __: None
) -> tuple[Tensor | None, ...]:
    student, weight, bias, teacher, argmax, statistics = ctx.saved_tensors
    fixed = (None,) * (1 + len(ctx.options))
    if grad_loss is None and grad_pooled is None:
        return None, None, None, *fixed
    if grad_loss is None:
        assert grad_pooled is not None
        grad_loss = grad_pooled.new_zeros(())
    grad_student, grad_weight, grad_bias = _ops.embedded_distance_backward(
        grad_loss, grad_pooled, student, weight, bias, teacher, argmax, statistics, *ctx.options
    )
    return grad_student, grad_weight, None if bias is None else grad_bias, *fixed


# density_splat


def _density_splat_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _refuse_gradient(ctx, {0: "points", 1: "sigma"})


def _register(name: str, gradient: Callable[..., Any], setup: Callable[..., None] | None = None) -> None:
    torch.library.register_autograd(f"{_library.NAMESPACE}::{name}", gradient, setup_context=setup)


def _register_once_differentiable(name: str) -> None:
    def refuse(ctx: Any, *gradients: Tensor) -> None:
        _refuse_second_derivative(name)

    _register(f"{name}_backward", refuse)


def _unreachable(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError("skt_ext::density_splat has no gradient")


_register("cosine_distance", _cosine_distance_gradient, _cosine_distance_setup)
_register("max_pool_resize", _max_pool_resize_gradient, _max_pool_resize_setup)
_register("cosine_loss", _cosine_loss_gradient, _cosine_loss_setup)
_register("pool_and_pack", _pool_and_pack_gradient, _pool_and_pack_setup)
_register("dense_fsp_distance", _dense_fsp_distance_gradient, _dense_fsp_distance_setup)
_register("embedded_distance", _embedded_distance_gradient, _embedded_distance_setup)
_register("density_splat", _unreachable, _density_splat_setup)
for _name in (
    "cosine_distance",
    "max_pool_resize",
    "pool_and_pack",
    "dense_fsp_distance",
    "embedded_distance",
):
    _register_once_differentiable(_name)
