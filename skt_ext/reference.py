"""Every loss in plain torch, as an author who follows the paper writes it: the truth of tests and benchmarks.

Autograd differentiates them. Nothing here checks its arguments: the public functions do. The operators have their
own references, in skt_ext.ops.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext._feature_distances import pooling_kernel
from skt_ext._numerics import reduce


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
