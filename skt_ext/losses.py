"""The losses of Structured Knowledge Transfer (Liu et al., ACM MM 2020, https://doi.org/10.1145/3394171.3413938).

All of them take features and maps as (N, C, H, W) tensors of float64, float32, float16 or bfloat16, contiguous or
channels_last, on CPU or CUDA; student and teacher may differ in dtype. A loss is computed and returned in float32
(float64 if a float64 tensor takes part), whatever autocast says, and the student's gradient comes in the student's
dtype. The teacher is a fixed target: one that requires a gradient raises ValueError.

`reduction` is "sum" (the paper: over pixels and images), "batchmean" (that sum divided by N) or "none".

A wrong type raises TypeError; a wrong shape, device or value raises ValueError. The losses of features have a first
derivative in backward mode: a second one raises RuntimeError, and forward mode (torch.func.jvp) NotImplementedError.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from skt_ext._checks import (
    as_number,
    check_choice,
    check_feature,
    check_feature_lists,
    check_map,
    check_same_batch,
    check_student_and_teacher,
    check_target_map,
)
from skt_ext._feature_distances import (
    cosine_loss,
    dense_fsp_distance,
    pack,
    pooling_windows,
    product_precision,
    target_size,
)
from skt_ext._numerics import REDUCTIONS, accumulation_dtype, full_precision, reduce, squared_error
from skt_ext._transfer import PROFILES as PROFILES
from skt_ext._transfer import StructuredKnowledgeTransfer, TransferLoss

__all__ = [
    "StructuredKnowledgeTransfer",
    "TransferLoss",
    "cosine_transfer_loss",
    "dense_fsp_loss",
    "density_map_loss",
    "fsp_matrix",
    "l2_transfer_loss",
]

NORMALIZATIONS = (None, "instance")
PAIRS = ("dense", "adjacent")


def cosine_transfer_loss(
    student: Tensor, teacher: Tensor, *, eps: float = 1e-8, reduction: str = "sum"
) -> Tensor:
    """sum over pixels of 1 - s.t / (max(|s|, eps) max(|t|, eps)): Intra-Layer Pattern Transfer, eq. 3 and 4.

    A pixel where the student's vector is exactly zero gets a zero gradient: its direction is undefined.

    Args:
        student: Features (N, C, H, W), already embedded to the teacher's number of channels (equation 2).
        teacher: Features (N, C, H, W).
        eps: Lower bound of the vectors' lengths, above 0.
        reduction: "sum", "batchmean" or "none".

    Returns:
        A scalar in [0, 2 N H W]; distances (N, H, W) in [0, 2] for reduction="none".

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: Shapes or devices do not fit, the teacher requires a gradient, or an option is out of range.
        NotImplementedError: Student or teacher takes part in forward-mode differentiation.

    Example:
        >>> student = torch.tensor([[3.0, 4.0]]).reshape(1, 2, 1, 1)
        >>> teacher = torch.tensor([[1.0, 0.0]]).reshape(1, 2, 1, 1)
        >>> cosine_transfer_loss(student, teacher)  # 1 - 3/5
        tensor(0.4000)
    """
    check_student_and_teacher(student, teacher)
    eps = as_number("eps", eps, positive=True)
    if eps > torch.finfo(torch.float32).max:
        raise ValueError(f"eps must be at most the largest float32, got {eps!r}")
    check_choice("reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return cosine_loss(student, teacher, eps, per_pixel=True)
    images = max(student.shape[0], 1) if reduction == "batchmean" else 1
    return cosine_loss(student, teacher, eps, 1 / images) / images


def l2_transfer_loss(student: Tensor, teacher: Tensor, *, reduction: str = "sum") -> Tensor:
    """sum over pixels of |s - t|^2: the Euclidean alternative to the cosine, Table 3, row L2.

    Args:
        student: Features (N, C, H, W), already embedded to the teacher's number of channels (equation 2).
        teacher: Features (N, C, H, W).
        reduction: "sum", "batchmean" or "none".

    Returns:
        A scalar, at least 0; squared distances (N, H, W) for reduction="none".

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: Shapes or devices do not fit, the teacher requires a gradient, or the reduction is unknown.

    Example:
        >>> l2_transfer_loss(torch.ones(1, 2, 1, 3), torch.zeros(1, 2, 1, 3))
        tensor(6.)
    """
    check_student_and_teacher(student, teacher)
    check_choice("reduction", reduction, REDUCTIONS)
    return reduce(squared_error(student, teacher).sum(1), reduction)


def fsp_matrix(first: Tensor, second: Tensor, *, normalize: str | None = None) -> Tensor:
    """F[c1, c2] = 1 / (h w) sum over (x, y) of first[c1, x, y] second[c2, x, y]: the FSP matrix, equation 5.

    Args:
        first: Features (N, C1, h, w).
        second: Features (N, C2, h, w).
        normalize: None, or "instance": each channel of each image is first brought to mean 0 and variance 1
            (biased, eps 1e-5), so that an entry is the correlation of two channels.

    Returns:
        (N, C1, C2). Both features get gradients.

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: The features differ in N, h, w or device, or the normalisation is unknown.
        NotImplementedError: A feature takes part in forward-mode differentiation.

    Example:
        >>> fsp_matrix(torch.ones(1, 2, 4, 4), 3 * torch.ones(1, 1, 4, 4))
        tensor([[[3.],
                 [3.]]])
    """
    check_feature("first", first)
    check_feature("second", second)
    check_same_batch("second", second, "first", first)
    for axis, index in (("H", 2), ("W", 3)):
        if first.shape[index] != second.shape[index]:
            raise ValueError(
                f"second must have the {axis} of first, {first.shape[index]}, "
                f"got (N, C, H, W) = {tuple(second.shape)}"
            )
    check_choice("normalize", normalize, NORMALIZATIONS)
    dtype = accumulation_dtype(first, second)
    with full_precision(first.device):
        left = pack([first], [(1, 1)], normalize, dtype)
        right = pack([second], [(1, 1)], normalize, dtype)
        return left @ right.mT / left.shape[2]


def dense_fsp_loss(
    student_features: Sequence[Tensor],
    teacher_features: Sequence[Tensor],
    *,
    size: int | tuple[int, int] | None = None,
    normalize: str | None = None,
    pairs: str = "dense",
    reduction: str = "sum",
) -> Tensor:
    """sum over pairs i < j of |FSP(T_i, T_j) - FSP(S_i, S_j)|^2: Inter-Layer Relation Transfer, equation 6.

    Each unordered pair counts once, as in the authors' code; the double sum of equation 6 counts each twice.

    Args:
        student_features: At least two features (N, C_i, H_i, W_i), already embedded to the teacher's channels.
        teacher_features: As many, of the same shapes.
        size: (h, w) at which features are compared, or one number for both; None for that of the last feature.
            Larger features are max-pooled with windows of ceil(H_i / h) x ceil(W_i / w) pixels, rounded up to a
            power of two where that gives the same size; the last windows may stick out of the feature.
        normalize: None (the paper), or "instance" (the authors' code): see `fsp_matrix`.
        pairs: "dense" for every pair; "adjacent" for neighbours in the list alone (S-FSP of Table 3).
        reduction: "sum", "batchmean" or "none".

    Returns:
        A scalar, at least 0; (N,) for reduction="none".

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: Shapes or devices do not fit, a feature cannot be pooled to the size, a teacher's feature
            requires a gradient, or an option is out of range.
        NotImplementedError: A feature takes part in forward-mode differentiation.

    Example:
        >>> student = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
        >>> teacher = [torch.ones(1, 1, 4, 4), 2 * torch.ones(1, 1, 2, 2)]
        >>> dense_fsp_loss(student, teacher)  # (1 * 2 - 0)^2
        tensor(4.)
    """
    check_feature_lists(student_features, teacher_features)
    if len(student_features) < 2:
        raise ValueError(
            f"student_features must hold at least 2 features to compare, got {len(student_features)}"
        )
    check_choice("normalize", normalize, NORMALIZATIONS)
    check_choice("pairs", pairs, PAIRS)
    check_choice("reduction", reduction, REDUCTIONS)
    windows = pooling_windows(student_features, target_size(size, student_features[-1]))
    return dense_fsp_distance(
        student_features,
        teacher_features,
        windows,
        windows,
        normalize=normalize,
        pairs=pairs,
        reduction=reduction,
        precision=product_precision(*student_features, *teacher_features),
    )


def density_map_loss(
    predicted: Tensor,
    hard: Tensor | None,
    soft: Tensor | None,
    *,
    hard_weight: float = 1.0,
    soft_weight: float = 1.0,
    reduction: str = "sum",
) -> Tensor:
    """hard_weight |predicted - hard|^2 + soft_weight |predicted - soft|^2: the density map loss, equation 7.

    Args:
        predicted: The student's density map (N, 1, H, W).
        hard: The ground-truth map (N, 1, H, W), made from the annotated points; may be None if hard_weight is 0.
        soft: The teacher's density map (N, 1, H, W); may be None if soft_weight is 0.
        hard_weight: Weight of the ground-truth map, at least 0.
        soft_weight: Weight of the teacher's map, at least 0.
        reduction: "sum", "batchmean" or "none".

    Returns:
        A scalar, at least 0; (N, 1, H, W) for reduction="none".

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: Shapes or devices do not fit, a target requires a gradient, or an option is out of range.

    Example:
        >>> predicted = torch.ones(1, 1, 2, 2)
        >>> density_map_loss(predicted, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), soft_weight=0.5)
        tensor(6.)
    """
    hard_weight = as_number("hard_weight", hard_weight, positive=False)
    soft_weight = as_number("soft_weight", soft_weight, positive=False)
    check_choice("reduction", reduction, REDUCTIONS)
    check_map("predicted", predicted)
    loss = torch.zeros_like(predicted, dtype=accumulation_dtype(predicted))
    for name, target, weight in (("hard", hard, hard_weight), ("soft", soft, soft_weight)):
        if weight != 0:
            checked = check_target_map(name, target, "predicted", predicted)
            loss = loss + weight * squared_error(predicted, checked)
    return reduce(loss, reduction)
