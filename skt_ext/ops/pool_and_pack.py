"""Features of several sizes max-pooled to one, instance-normalised if asked for, and packed along the channels."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext._numerics import accumulation_dtype, memory_format_of
from skt_ext.ops._operator import Operator, once_differentiable

SCHEMA = (
    "pool_and_pack(Tensor[] features, int[] kernels, bool normalize, bool with_argmax) "
    "-> (Tensor packed, Tensor argmax, Tensor inverse_deviation)"
)
BACKWARD_SCHEMA = (
    "pool_and_pack_backward(Tensor grad, Tensor packed, Tensor argmax, Tensor inverse_deviation, "
    "Tensor[] features, int[] kernels) -> Tensor[]"
)


def reference(
    features: Sequence[Tensor], kernels: Sequence[int], normalize: bool, with_argmax: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, C_i, H_i, W_i) and kernels [kernel_h_0, kernel_w_0, kernel_h_1, ...] that bring all to (h, w).

    Returns:
        packed (N, sum of C_i, h w); argmax, uint8 and as large: the offset of each winner in its window (empty if
        not wanted); inverse_deviation (N, sum of C_i): 1 / sqrt(biased variance + 1e-5) over h w (empty if not
        normalised).
    """
    dtype = accumulation_dtype(*features)
    pooled = [
        max_pool(feature.to(dtype), *kernel)
        for feature, kernel in zip(features, _pairs_of(kernels), strict=True)
    ]
    packed = torch.cat([output.flatten(2) for output, _ in pooled], dim=1)
    argmax = torch.cat([winners.flatten(2) for _, winners in pooled], dim=1)
    inverse_deviation = packed.new_empty((0,))
    if normalize:
        centred = packed - packed.mean(2, keepdim=True)
        inverse_deviation = torch.rsqrt(centred.square().mean(2) + 1e-5)
        packed = centred * inverse_deviation[:, :, None]
    return packed, argmax if with_argmax else argmax.new_empty((0,)), inverse_deviation


def max_pool(feature: Tensor, kernel_h: int, kernel_w: int) -> tuple[Tensor, Tensor]:
    """Maxima of windows of (kernel_h, kernel_w), at most 256 pixels, that tile (H, W); the last may stick out.

    Returns:
        (N, C, ceil(H / kernel_h), ceil(W / kernel_w)), and the offset of each winner in its window, uint8.
    """
    width = feature.shape[3]
    dense = feature.contiguous(memory_format=memory_format_of(feature))
    output, winner = F.max_pool2d(dense, (kernel_h, kernel_w), ceil_mode=True, return_indices=True)
    row = winner // width % kernel_h
    column = winner % width % kernel_w
    return output, (row * kernel_w + column).to(torch.uint8)


def max_pool_gradient(
    grad: Tensor, argmax: Tensor, kernel_h: int, kernel_w: int, height: int, width: int
) -> Tensor:
    """Gradient of `max_pool` for its feature (N, C, height, width), gathered: each pixel looks up its window."""
    rows = torch.arange(height, device=grad.device)[:, None]
    columns = torch.arange(width, device=grad.device)[None, :]
    window_row, window_column = rows // kernel_h, columns // kernel_w
    own_offset = rows % kernel_h * kernel_w + columns % kernel_w  # (height, width)
    won = argmax[:, :, window_row, window_column] == own_offset
    return torch.where(won, grad[:, :, window_row, window_column], 0)


def _pairs_of(kernels: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(kernels[::2], kernels[1::2], strict=True))


def fake(
    features: Sequence[Tensor], kernels: Sequence[int], normalize: bool, with_argmax: bool
) -> tuple[Tensor, Tensor, Tensor]:
    first = features[0]
    batch, channels = first.shape[0], sum(feature.shape[1] for feature in features)
    positions = -(-first.shape[2] // kernels[0]) * -(-first.shape[3] // kernels[1])
    packed = first.new_empty((batch, channels, positions), dtype=accumulation_dtype(*features))
    argmax = first.new_empty(packed.shape if with_argmax else (0,), dtype=torch.uint8)
    return packed, argmax, packed.new_empty((batch, channels) if normalize else (0,))


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    features, kernels, _, with_argmax = inputs
    packed, argmax, inverse_deviation = output
    if not with_argmax:
        raise RuntimeError("skt_ext::pool_and_pack needs with_argmax=True where features require a gradient")
    ctx.save_for_backward(packed, argmax, inverse_deviation, *features)
    ctx.kernels = kernels
    ctx.mark_non_differentiable(argmax, inverse_deviation)
    ctx.set_materialize_grads(False)


def gradient(
    ctx: Any, grad: Tensor | None, _: None, __: None
) -> tuple[list[Tensor] | list[None], None, None, None]:
    packed, argmax, inverse_deviation, *features = ctx.saved_tensors
    if grad is None:
        return [None] * len(features), None, None, None
    gradients = torch.ops.skt_ext.pool_and_pack_backward(
        grad, packed, argmax, inverse_deviation, features, ctx.kernels
    )
    return gradients, None, None, None


def backward_reference(
    grad: Tensor,
    packed: Tensor,
    argmax: Tensor,
    inverse_deviation: Tensor,
    features: Sequence[Tensor],
    kernels: Sequence[int],
) -> list[Tensor]:
    """Gradients for the features, of which only shape, dtype and layout are used."""
    if inverse_deviation.ndim == 2:  # normalised
        along_packed = (grad * packed).mean(2, keepdim=True)
        grad = inverse_deviation[:, :, None] * (grad - grad.mean(2, keepdim=True) - packed * along_packed)
    channels = [feature.shape[1] for feature in features]
    gradients = []
    for feature, (kernel_h, kernel_w), of_packed, winners in zip(
        features,
        _pairs_of(kernels),
        torch.split(grad, channels, 1),
        torch.split(argmax, channels, 1),
        strict=True,
    ):
        height, width = feature.shape[2:]
        pooled = (*feature.shape[:2], -(-height // kernel_h), -(-width // kernel_w))
        made = max_pool_gradient(
            of_packed.reshape(pooled), winners.reshape(pooled), kernel_h, kernel_w, height, width
        )
        gradients.append(made.to(feature.dtype).contiguous(memory_format=memory_format_of(feature)))
    return gradients


def backward_fake(
    grad: Tensor,
    packed: Tensor,
    argmax: Tensor,
    inverse_deviation: Tensor,
    features: Sequence[Tensor],
    kernels: Sequence[int],
) -> list[Tensor]:
    return [torch.empty_like(feature, memory_format=memory_format_of(feature)) for feature in features]


OPERATORS = (
    Operator(SCHEMA, reference, fake, save, gradient),
    Operator(
        BACKWARD_SCHEMA, backward_reference, backward_fake, gradient=once_differentiable("pool_and_pack")
    ),
)
