"""Plain torch versions of every operator and every loss: the one truth of tests and benchmarks.

The first part holds the operators `torch.ops.skt_ext.*` with their exact signatures; they run where no native
kernel does. The second part holds the losses and the density map as an author who follows the paper writes
them in eager torch; autograd differentiates them. Nothing here checks its arguments: the public functions do.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext._numerics import accumulation_dtype, memory_format_of
from skt_ext._reduction import reduce
from skt_ext._resize import pooling_kernel

# Operators


def cosine_distance(student: Tensor, teacher: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """1 - s.t / (max(|s|, eps) max(|t|, eps)) at every pixel, and the three dot products it is made of.

    student, teacher (N, C, H, W) -> distance (N, H, W), statistics (N, 3, H, W) holding s.t, s.s, t.t
    """
    dtype = accumulation_dtype(student, teacher)
    student, teacher = student.to(dtype), teacher.to(dtype)
    statistics = torch.stack(
        [(student * teacher).sum(1), (student * student).sum(1), (teacher * teacher).sum(1)], dim=1
    )
    dot, student_square, teacher_square = statistics.unbind(1)
    lengths = student_square.sqrt().clamp(min=eps) * teacher_square.sqrt().clamp(min=eps)
    return 1 - dot / lengths, statistics


def cosine_distance_backward(
    grad: Tensor, student: Tensor, teacher: Tensor, statistics: Tensor, eps: float
) -> Tensor:
    """Gradient of `cosine_distance` with respect to student (N, C, H, W), in the student's dtype.

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
    gradient = scale[:, None] * (teacher.to(dtype) - along_student[:, None] * student.to(dtype))
    return gradient.to(student.dtype).contiguous(memory_format=memory_format_of(student))


def cosine_loss(
    student: Tensor, teacher: Tensor, eps: float, scale: float, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    """The sum of `cosine_distance` over images and pixels, and `scale` times its gradient.

    student, teacher (N, C, H, W) -> loss (), gradient (N, C, H, W) in the student's dtype; empty if unwanted
    """
    distance, statistics = cosine_distance(student, teacher, eps)
    gradient = student.new_empty((0,))
    if with_gradient:
        gradient = cosine_distance_backward(
            torch.full_like(distance, scale), student, teacher, statistics, eps
        )
    return distance.sum(), gradient


def rescale_(gradient: Tensor, grad: Tensor, scale: float) -> None:
    """gradient *= grad / scale: a gradient made for one factor, a number, becomes that for another, ()."""
    dtype = accumulation_dtype(gradient, grad)
    gradient.copy_(gradient.to(dtype) * (grad.to(dtype) / scale))


def max_pool_resize(input: Tensor, kernel_h: int, kernel_w: int) -> tuple[Tensor, Tensor]:
    """Max over windows of (kernel_h, kernel_w) that tile (H, W); the last ones may stick out.

    input (N, C, H, W) -> output (N, C, ceil(H / kernel_h), ceil(W / kernel_w)) and the winner's offset in its
    window
    """
    width = input.shape[3]
    dense = input.contiguous(memory_format=memory_format_of(input))
    output, winner = F.max_pool2d(dense, (kernel_h, kernel_w), ceil_mode=True, return_indices=True)
    row = winner // width % kernel_h
    column = winner % width % kernel_w
    offset_dtype = torch.uint8 if kernel_h * kernel_w <= 256 else torch.int32
    return output, (row * kernel_w + column).to(offset_dtype)


def max_pool_resize_backward(
    grad: Tensor, argmax: Tensor, kernel_h: int, kernel_w: int, height: int, width: int
) -> Tensor:
    """Gradient of `max_pool_resize`, gathered: each pixel looks up its own window."""
    rows = torch.arange(height, device=grad.device)[:, None]
    columns = torch.arange(width, device=grad.device)[None, :]
    window_row, window_column = rows // kernel_h, columns // kernel_w
    own_offset = rows % kernel_h * kernel_w + columns % kernel_w  # (height, width)
    won = argmax[:, :, window_row, window_column] == own_offset
    gradient = torch.where(won, grad[:, :, window_row, window_column], 0)
    return gradient.contiguous(memory_format=memory_format_of(argmax))


def pool_and_pack(
    features: Sequence[Tensor], kernels: Sequence[int], normalize: bool, with_argmax: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """All features max-pooled to one size, instance-normalised if asked for, and packed along the channels.

    features (N, C_i, H_i, W_i); kernels [kernel_h_0, kernel_w_0, kernel_h_1, ...] that bring all to (h, w)
    -> packed (N, sum of C_i, h w), argmax alike: each winner's offset in its window (empty if unwanted),
    inverse_deviation (N, sum of C_i): 1 / sqrt(biased variance + 1e-5) over h w (empty if not normalised)
    """
    dtype = accumulation_dtype(*features)
    pooled = [
        max_pool_resize(feature.to(dtype), *kernel)
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


def pool_and_pack_backward(
    grad: Tensor,
    packed: Tensor,
    argmax: Tensor,
    inverse_deviation: Tensor,
    features: Sequence[Tensor],
    kernels: Sequence[int],
) -> list[Tensor]:
    """Gradients of `pool_and_pack` for its features, of which only shape, dtype and layout are used."""
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
        pooled_size = (-(-height // kernel_h), -(-width // kernel_w))
        gradient = max_pool_resize_backward(
            of_packed.reshape(*of_packed.shape[:2], *pooled_size),
            winners.reshape(*winners.shape[:2], *pooled_size),
            kernel_h,
            kernel_w,
            height,
            width,
        )
        gradients.append(gradient.to(feature.dtype).contiguous(memory_format=memory_format_of(feature)))
    return gradients


def _pairs_of(kernels: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(kernels[::2], kernels[1::2], strict=True))


def _pair_mask(channels: Sequence[int], adjacent: bool, device: torch.device) -> Tensor:
    """(C, C) bool: do these two channels belong to two different (or neighbouring) features?"""
    feature = torch.repeat_interleave(
        torch.arange(len(channels), device=device), torch.tensor(channels, dtype=torch.long, device=device)
    )
    apart = (feature[:, None] - feature[None, :]).abs()
    return apart == 1 if adjacent else apart > 0


def dense_fsp_distance(
    student: Tensor, teacher: Tensor, channels: Sequence[int], adjacent: bool, precision: str
) -> tuple[Tensor, Tensor]:
    """Squared Frobenius distance between the FSP matrices of teacher and student, summed over pairs.

    student, teacher (N, C, P): all features, packed along the channels, `channels` of them in each
    -> distance (N,), difference (N, C, C) of the FSP matrices, zero where no pair is compared
    """
    positions = student.shape[2]
    student, teacher = _rounded(student, precision), _rounded(teacher, precision)
    difference = teacher @ teacher.mT - student @ student.mT
    mask = _pair_mask(channels, adjacent, student.device)
    difference = torch.where(mask, difference / positions, 0)
    # Each pair stands twice in the symmetric matrix.
    return difference.square().sum((1, 2)) / 2, difference


def dense_fsp_distance_backward(
    grad: Tensor,
    student: Tensor,
    difference: Tensor,
    channels: Sequence[int],
    adjacent: bool,
    precision: str,
) -> Tensor:
    """Gradient of `dense_fsp_distance`, (N, C, P): -(2 / P) grad_n difference_n student_n."""
    # A difference can lie beyond float16's range; tf32 has as many bits and the range of float32.
    precision = "tf32" if precision == "float16" else precision
    scale = grad * (-2 / student.shape[2])
    return scale[:, None, None] * (_rounded(difference, precision) @ _rounded(student, precision))


def _rounded(operand: Tensor, precision: str) -> Tensor:
    """Operands of a matrix product as the named precision sees them; sums stay in float32."""
    if operand.dtype == torch.float64 or precision == "float32":
        return operand
    if precision == "tf32":  # 10 bits of mantissa, to nearest, ties away from zero
        return ((operand.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
    return operand.to({"bfloat16": torch.bfloat16, "float16": torch.float16}[precision]).float()


def embedded_distance(
    student: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    teacher: Tensor | None,
    relu: bool,
    eps: float,
    kernel_h: int,
    kernel_w: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cosine distance of teacher and h = weight student + bias, after a ReLU if `relu`, and h max-pooled.

    student (N, C_s, H, W), weight (C_t, C_s), bias (C_t,), teacher (N, C_t, H, W)
    -> loss () summed over images and pixels, pooled (N, C_t, ceil(H / kernel_h), ceil(W / kernel_w)), argmax
    as `max_pool_resize` gives it, statistics (N, 3, H, W) as `cosine_distance` gives them. Without a teacher
    the loss is 0 and statistics is empty; with kernel_h = kernel_w = 0 pooled and argmax are empty.
    """
    hidden = _embedded(student, weight, bias, teacher, relu)
    loss, statistics = hidden.new_zeros(()), hidden.new_empty((0,))
    if teacher is not None:
        distance, statistics = cosine_distance(hidden, teacher, eps)
        loss = distance.sum()
    pooled, argmax = hidden.new_empty((0,)), hidden.new_empty((0,), dtype=torch.uint8)
    if kernel_h > 0:
        pooled, argmax = max_pool_resize(hidden, kernel_h, kernel_w)
    return loss, pooled.contiguous(), argmax.contiguous(), statistics


def _embedded(
    student: Tensor, weight: Tensor, bias: Tensor | None, teacher: Tensor | None, relu: bool
) -> Tensor:
    """h of `embedded_distance`, in the dtype of its computation."""
    operands = [tensor for tensor in (student, weight, bias, teacher) if tensor is not None]
    dtype = accumulation_dtype(*operands)
    hidden = torch.einsum("oi,nihw->nohw", weight.to(dtype), student.to(dtype))
    if bias is not None:
        hidden = hidden + bias.to(dtype)[:, None, None]
    return hidden.relu() if relu else hidden


def embedded_distance_backward(
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
    """Gradients of `embedded_distance` for student, weight and bias (empty without one), in their dtypes."""
    hidden = _embedded(student, weight, bias, teacher, relu)
    grad = torch.zeros_like(hidden)  # (N, C_t, H, W)
    if teacher is not None:
        grad = grad + cosine_distance_backward(
            grad_loss.expand(hidden[:, 0].shape), hidden, teacher, statistics, eps
        )
    if grad_pooled is not None:
        grad = grad + max_pool_resize_backward(grad_pooled, argmax, kernel_h, kernel_w, *hidden.shape[2:])
    if relu:
        grad = torch.where(hidden > 0, grad, 0)
    dtype = hidden.dtype
    grad_student = torch.einsum("oi,nohw->nihw", weight.to(dtype), grad).to(student.dtype)
    grad_weight = torch.einsum("nohw,nihw->oi", grad, student.to(dtype)).to(weight.dtype)
    grad_bias = weight.new_empty((0,)) if bias is None else grad.sum((0, 2, 3)).to(bias.dtype)
    return (
        grad_student.contiguous(memory_format=memory_format_of(student)),
        grad_weight.contiguous(),
        grad_bias,
    )


def density_splat(
    points: Tensor,
    sigma: Tensor,
    height: int,
    width: int,
    truncate: float,
    conserve: bool,
    roi: Tensor | None,
) -> Tensor:
    """A truncated Gaussian a person: points (P, 2) [x, y], sigma (P,) -> density (height, width) float32."""
    density = torch.zeros(height, width, dtype=torch.float64, device=points.device)
    for (x, y), width_of_person in zip(points.tolist(), sigma.tolist(), strict=True):
        if not (0 <= x < width and 0 <= y < height):
            continue
        column, row = math.floor(x), math.floor(y)
        if roi is not None and not roi[row, column]:
            continue
        radius = int(truncate * width_of_person + 0.5)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device=points.device)
        profile = torch.exp(-0.5 * (offsets / width_of_person) ** 2)
        profile /= profile.sum()
        top, bottom = max(row - radius, 0), min(row + radius + 1, height)
        left, right = max(column - radius, 0), min(column + radius + 1, width)
        window = torch.outer(
            profile[top - row + radius : bottom - row + radius],
            profile[left - column + radius : right - column + radius],
        )
        if roi is not None:
            window = window * roi[top:bottom, left:right]
        if conserve:
            window = window / window.sum()
        density[top:bottom, left:right] += window
    return density.to(torch.float32)


# Losses and density maps


def cosine_transfer_loss(
    student: Tensor, teacher: Tensor, *, eps: float = 1e-8, reduction: str = "sum"
) -> Tensor:
    """Equations 3 and 4: sum over pixels of 1 - cos(student, teacher), (N, C, H, W) each."""
    return reduce(1 - F.cosine_similarity(student, teacher, dim=1, eps=eps), reduction)


def l2_transfer_loss(student: Tensor, teacher: Tensor, *, reduction: str = "sum") -> Tensor:
    """Table 3, row L2: sum over pixels of |student - teacher|^2, (N, C, H, W) each."""
    return reduce((student - teacher).square().sum(1), reduction)


def fsp_matrix(first: Tensor, second: Tensor, *, normalize: str | None = None) -> Tensor:
    """Equation 5: inner products of channels over (h, w), divided by h * w -> (N, C1, C2)."""
    if normalize == "instance":
        first, second = _instance_norm(first), _instance_norm(second)
    return torch.bmm(first.flatten(2), second.flatten(2).mT) / (first.shape[2] * first.shape[3])


def _instance_norm(feature: Tensor) -> Tensor:
    """F.instance_norm written out. In torch 2.13 and 2.14 it has a wrong gradient on the CPU for a single
    image when the incoming gradient is strided like channels_last, which is how a matrix product hands it on.
    """
    centred = feature - feature.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + 1e-5)


def dense_fsp_loss(
    student_features: Sequence[Tensor],
    teacher_features: Sequence[Tensor],
    *,
    size: tuple[int, int] | None = None,
    normalize: str | None = None,
    pairs: str = "dense",
    reduction: str = "sum",
) -> Tensor:
    """Equation 6, each pair once: squared distance of FSP matrices, summed over pairs of resized features."""
    height, width = size if size is not None else student_features[-1].shape[2:]
    student = [_resize(feature, height, width) for feature in student_features]
    teacher = [_resize(feature, height, width) for feature in teacher_features]
    per_image = []
    for i in range(len(student)):
        last = min(i + 2, len(student)) if pairs == "adjacent" else len(student)
        for j in range(i + 1, last):
            difference = fsp_matrix(teacher[i], teacher[j], normalize=normalize) - fsp_matrix(
                student[i], student[j], normalize=normalize
            )
            per_image.append(difference.square().sum((1, 2)))
    return reduce(torch.stack(per_image, dim=1).sum(1), reduction)


def _resize(feature: Tensor, height: int, width: int) -> Tensor:
    kernel = pooling_kernel(feature.shape[2], height), pooling_kernel(feature.shape[3], width)
    return feature if kernel == (1, 1) else F.max_pool2d(feature, kernel, ceil_mode=True)


def density_map_loss(
    predicted: Tensor,
    hard: Tensor,
    soft: Tensor,
    *,
    hard_weight: float = 1.0,
    soft_weight: float = 1.0,
    reduction: str = "sum",
) -> Tensor:
    """Equation 7: squared errors of a map (N, 1, H, W) against the annotated and the teacher's map."""
    return reduce(
        hard_weight * (predicted - hard).square() + soft_weight * (predicted - soft).square(), reduction
    )


def density_map(
    points: Tensor,
    shape: tuple[int, int],
    sigma: Tensor | float,
    *,
    truncate: float = 4.0,
    boundary: str = "conserve",
    roi: Tensor | None = None,
) -> Tensor:
    """One Gaussian window after another: points (P, 2) [x, y] -> density (H, W) float32."""
    points = torch.as_tensor(points, dtype=torch.float64)
    sigma = torch.as_tensor(sigma, dtype=torch.float64).expand(len(points))
    return density_splat(points, sigma, *shape, truncate, boundary == "conserve", roi)
