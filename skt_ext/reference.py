"""Plain torch versions of every operator and every loss: the one truth of tests and benchmarks.

The first part holds the operators `torch.ops.skt_ext.*` with their exact signatures; they run where no native
kernel does. Those of density maps are in reference_density.py and reference_geodesic.py. The second part holds the
losses as an author who follows the paper writes them in eager torch; autograd differentiates them. Nothing here
checks its arguments: the public functions do.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext._numerics import accumulation_dtype, memory_format_of
from skt_ext._reduction import reduce
from skt_ext._resize import pooling_kernel
from skt_ext.reference_density import density_splat as density_splat
from skt_ext.reference_geodesic import geodesic_neighbors as geodesic_neighbors
from skt_ext.reference_geodesic import geodesic_splat as geodesic_splat

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


def _pair_mask(channels: Sequence[int], adjacent: bool, device: torch.device) -> Tensor:
    """(C, C) bool: do these two channels belong to two different (or neighbouring) features?"""
    feature = torch.repeat_interleave(
        torch.arange(len(channels), device=device), torch.tensor(channels, dtype=torch.long, device=device)
    )
    apart = (feature[:, None] - feature[None, :]).abs()
    return apart == 1 if adjacent else apart > 0


def dense_fsp_distance(
    student: Tensor, teacher: Tensor, channels: Sequence[int], adjacent: bool
) -> tuple[Tensor, Tensor]:
    """Squared Frobenius distance between the FSP matrices of teacher and student, summed over pairs.

    student, teacher (N, C, P): all features, packed along the channels, `channels` of them in each
    -> distance (N,), difference (N, C, C) of the FSP matrices, zero where no pair is compared
    """
    positions = student.shape[2]
    difference = teacher @ teacher.mT - student @ student.mT
    mask = _pair_mask(channels, adjacent, student.device)
    difference = torch.where(mask, difference / positions, 0)
    # Each pair stands twice in the symmetric matrix.
    return difference.square().sum((1, 2)) / 2, difference


def dense_fsp_distance_backward(grad: Tensor, student: Tensor, difference: Tensor) -> Tensor:
    """Gradient of `dense_fsp_distance`, (N, C, P): -(2 / P) grad_n difference_n student_n."""
    scale = grad * (-2 / student.shape[2])
    return scale[:, None, None] * (difference @ student)


# Losses


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
