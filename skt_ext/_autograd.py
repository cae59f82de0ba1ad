"""Gradients of the operators: the student gets one; asking for another, or a second derivative, raises."""

from collections.abc import Callable
from typing import Any

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


# dense_fsp_distance


def _dense_fsp_distance_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    student, *_ = inputs
    _, difference = output
    _refuse_gradient(ctx, {1: "teacher"})
    ctx.save_for_backward(student, difference)
    ctx.mark_non_differentiable(difference)
    ctx.set_materialize_grads(False)


def _dense_fsp_distance_gradient(
    ctx: Any, grad: Tensor | None, _: None
) -> tuple[Tensor | None, None, None, None]:
    if grad is None:
        return None, None, None, None
    return _ops.dense_fsp_distance_backward(grad, *ctx.saved_tensors), None, None, None


# density_splat, geodesic_splat, geodesic_neighbors: no gradients


def _refuse_points_and_sigma(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _refuse_gradient(ctx, {0: "points", 1: "sigma"})


def _refuse_points_sigma_and_image(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _refuse_gradient(ctx, {0: "points", 1: "sigma", 9: "image"})


def _refuse_points_and_image(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _refuse_gradient(ctx, {0: "points", 5: "image"})


def _register(name: str, gradient: Callable[..., Any], setup: Callable[..., None] | None = None) -> None:
    torch.library.register_autograd(f"{_library.NAMESPACE}::{name}", gradient, setup_context=setup)


def _register_once_differentiable(name: str) -> None:
    def refuse(ctx: Any, *gradients: Tensor) -> None:
        raise RuntimeError(
            f"skt_ext::{name} has no second derivative: do not call backward with create_graph=True"
        )

    _register(f"{name}_backward", refuse)


def _unreachable(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError("density maps have no gradient")


_register("cosine_distance", _cosine_distance_gradient, _cosine_distance_setup)
_register("max_pool_resize", _max_pool_resize_gradient, _max_pool_resize_setup)
_register("dense_fsp_distance", _dense_fsp_distance_gradient, _dense_fsp_distance_setup)
_register("density_splat", _unreachable, _refuse_points_and_sigma)
_register("geodesic_splat", _unreachable, _refuse_points_sigma_and_image)
_register("geodesic_neighbors", _unreachable, _refuse_points_and_image)
for _name in ("cosine_distance", "max_pool_resize", "dense_fsp_distance"):
    _register_once_differentiable(_name)
