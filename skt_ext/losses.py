"""The losses of Structured Knowledge Transfer (Liu et al., ACM MM 2020, https://doi.org/10.1145/3394171.3413938).

Common to all: features are (N, C, H, W) tensors of float64, float32, float16 or bfloat16, contiguous or
channels_last, on CPU or CUDA. A loss is computed in float32 (float64 if a float64 tensor takes part),
whatever autocast says, and the student's gradient comes in the student's dtype. The teacher is a fixed
target: one that requires a gradient raises ValueError. `reduction` is "sum" (the paper: over pixels and
images), "batchmean" (that sum divided by N) or "none". A wrong type raises TypeError, a wrong shape, device
or value ValueError.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skt_ext import _autograd, _fake  # noqa: F401  (register the operators)
from skt_ext._checks import (
    check_choice,
    check_count,
    check_device,
    check_feature,
    check_fixed,
    check_number,
    check_same_shape,
    check_student_and_teacher,
)
from skt_ext._numerics import accumulation_dtype, full_precision
from skt_ext._reduction import REDUCTIONS, reduce
from skt_ext._resize import pooling_kernel

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
PROFILES = ("paper", "released")

_INSTANCE_NORM_EPS = 1e-5  # torch.nn.InstanceNorm2d's default, which the authors' code uses


def cosine_transfer_loss(
    student: Tensor, teacher: Tensor, *, eps: float = 1e-8, reduction: str = "sum"
) -> Tensor:
    """sum over pixels of 1 - s.t / (max(|s|, eps) max(|t|, eps)): Intra-Layer Pattern Transfer, eq. 3 and 4.

    student    (N, C, H, W), already embedded to the teacher's number of channels (equation 2)
    teacher    (N, C, H, W)
    eps        lower bound of the vectors' lengths, above 0
    returns    a scalar in [0, 2 N H W]; (N, H, W) distances in [0, 2] for reduction="none"

    A pixel where the student's vector is exactly zero gets a zero gradient: its direction is undefined.

    >>> student = torch.tensor([[3.0, 4.0]]).reshape(1, 2, 1, 1)
    >>> teacher = torch.tensor([[1.0, 0.0]]).reshape(1, 2, 1, 1)
    >>> cosine_transfer_loss(student, teacher)  # 1 - 3/5
    tensor(0.4000)
    """
    check_student_and_teacher(student, teacher)
    check_number("eps", eps, positive=True)
    check_choice("reduction", reduction, REDUCTIONS)
    distance, _ = torch.ops.skt_ext.cosine_distance(student, teacher, eps)
    return reduce(distance, reduction)


def l2_transfer_loss(student: Tensor, teacher: Tensor, *, reduction: str = "sum") -> Tensor:
    """sum over pixels of |s - t|^2: the Euclidean alternative to the cosine, Table 3, row L2.

    student    (N, C, H, W), already embedded to the teacher's number of channels (equation 2)
    teacher    (N, C, H, W)
    returns    a scalar, at least 0; (N, H, W) squared distances for reduction="none"

    >>> l2_transfer_loss(torch.ones(1, 2, 1, 3), torch.zeros(1, 2, 1, 3))
    tensor(6.)
    """
    check_student_and_teacher(student, teacher)
    check_choice("reduction", reduction, REDUCTIONS)
    return reduce(_squared_error(student, teacher).sum(1), reduction)


def fsp_matrix(first: Tensor, second: Tensor, *, normalize: str | None = None) -> Tensor:
    """F[c1, c2] = 1 / (h w) sum over (x, y) of first[c1, x, y] second[c2, x, y]: the FSP matrix, equation 5.

    first      (N, C1, h, w)
    second     (N, C2, h, w)
    normalize  None, or "instance": each channel of each image is first brought to mean 0 and variance 1
               (biased, eps 1e-5), which makes an entry the correlation of two channels
    returns    (N, C1, C2); both features get gradients

    >>> fsp_matrix(torch.ones(1, 2, 4, 4), 3 * torch.ones(1, 1, 4, 4))
    tensor([[[3.],
             [3.]]])
    """
    check_feature("first", first)
    check_feature("second", second)
    for axis, index in (("N", 0), ("H", 2), ("W", 3)):
        if first.shape[index] != second.shape[index]:
            raise ValueError(
                f"second must have the {axis} of first, (N, C, H, W) = {tuple(first.shape)}, "
                f"got {tuple(second.shape)}"
            )
    check_device("second", second, "first", first)
    check_choice("normalize", normalize, NORMALIZATIONS)
    dtype = accumulation_dtype(first, second)
    with full_precision(first.device):
        left = _pack([first], dtype, normalize)
        right = _pack([second], dtype, normalize)
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

    student_features  at least two features (N, C_i, H_i, W_i), already embedded to the teacher's channels
    teacher_features  as many, of the same shapes
    size              (h, w) at which features are compared, or one number for both; None: that of the last
                      feature. Larger features are max-pooled with windows of ceil(H_i / h) x ceil(W_i / w)
                      pixels, rounded up to a power of two where that gives the same size; the last windows
                      may stick out of the feature
    normalize         None (the paper), or "instance" (the authors' code): see `fsp_matrix`
    pairs             "dense": every pair; "adjacent": only neighbours in the list (S-FSP of Table 3)
    returns           a scalar, at least 0; (N,) for reduction="none"

    Each unordered pair counts once, as in the authors' code; the double sum of equation 6 counts each twice.

    >>> student = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
    >>> teacher = [torch.ones(1, 1, 4, 4), 2 * torch.ones(1, 1, 2, 2)]
    >>> dense_fsp_loss(student, teacher)  # (1 * 2 - 0)^2
    tensor(4.)
    """
    _check_feature_lists(student_features, teacher_features)
    if len(student_features) < 2:
        raise ValueError(
            f"student_features must hold at least 2 features to compare, got {len(student_features)}"
        )
    check_choice("normalize", normalize, NORMALIZATIONS)
    check_choice("pairs", pairs, PAIRS)
    check_choice("reduction", reduction, REDUCTIONS)
    height, width = _target_size(size, student_features[-1])

    dtype = accumulation_dtype(*student_features, *teacher_features)
    with full_precision(student_features[0].device):
        kernels = [_kernel(index, feature, height, width) for index, feature in enumerate(student_features)]
        student = _pack(_pool(student_features, kernels), dtype, normalize)  # (N, sum of C_i, h w)
        teacher = _pack(_pool(teacher_features, kernels), dtype, normalize)
        channels = [feature.shape[1] for feature in student_features]
        distance, _ = torch.ops.skt_ext.dense_fsp_distance(
            student, teacher, channels, pairs == "adjacent", "float32"
        )
        return reduce(distance, reduction)


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

    predicted  (N, 1, H, W), the student's density map
    hard       (N, 1, H, W), made from the annotated points; may be None if hard_weight is 0
    soft       (N, 1, H, W), the teacher's density map; may be None if soft_weight is 0
    returns    a scalar, at least 0; (N, 1, H, W) for reduction="none"

    >>> predicted = torch.ones(1, 1, 2, 2)
    >>> density_map_loss(predicted, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), soft_weight=0.5)
    tensor(6.)
    """
    check_number("hard_weight", hard_weight, positive=False)
    check_number("soft_weight", soft_weight, positive=False)
    check_choice("reduction", reduction, REDUCTIONS)
    _check_map("predicted", predicted)
    loss = torch.zeros_like(predicted, dtype=accumulation_dtype(predicted))
    for name, target, weight in (("hard", hard, hard_weight), ("soft", soft, soft_weight)):
        if weight != 0:
            checked = _check_target_map(name, target, "predicted", predicted)
            loss = loss + weight * _squared_error(predicted, checked)
    return reduce(loss, reduction)


class TransferLoss(NamedTuple):
    """The terms of equation 8, all scalars: `total` is their weighted sum, the others carry no weight.

    A term whose weight is zero is not computed and stands as 0.
    """

    total: Tensor
    intra: Tensor
    inter: Tensor
    hard: Tensor
    soft: Tensor


class StructuredKnowledgeTransfer(nn.Module):
    """a1 * intra + a2 * inter + a3 * (hard + soft): equation 8, with the embeddings of equation 2.

    The module owns the 1x1 convolutions that embed the student's features into the teacher's channels, so a
    student carries nothing to remove when it is deployed. Give its parameters to the optimiser together with
    the student's.

    student_channels  channels of the student's features, in the order in which they will be passed
    teacher_channels  channels of the teacher's features, as many
    profile           "paper": the equations; "released": the authors' code, which differs in these points:
                      a ReLU follows each embedding; features are instance-normalised before the FSP matrix
                      (see `fsp_matrix`); the density map itself joins the FSP group as the last feature
    weights           (a1, a2, a3), each at least 0; the authors' values are the default. A term of weight 0
                      is skipped
    hard_weight       weight of the annotated map inside a3's term; 0 switches it off
    soft_weight       weight of the teacher's map inside a3's term; 0 switches it off
    reduction         "sum" (the paper) or "batchmean"

    Which features to pass differs between the profiles as well (the authors tap conv2_1, conv3_1 and conv4_1
    at their inputs); that is the caller's choice. Biases start at zero. Weights start Kaiming-normal: for
    "paper", where the embedding is linear, with gain 1 over the inputs, so an embedded feature starts at the
    scale of the student's; for "released" with a ReLU's gain over the outputs, as the authors' code.

    >>> transfer = StructuredKnowledgeTransfer((2, 4), (8, 16))
    >>> student = [torch.rand(1, 2, 8, 8), torch.rand(1, 4, 4, 4)]
    >>> teacher = [torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)]
    >>> student_map, teacher_map, target = torch.rand(3, 1, 1, 4, 4)
    >>> loss = transfer(student, teacher, student_map, teacher_map, target)
    >>> loss.total.backward()
    """

    def __init__(
        self,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        *,
        profile: str = "paper",
        weights: tuple[float, float, float] = (0.5, 0.5, 1.0),
        hard_weight: float = 1.0,
        soft_weight: float = 1.0,
        reduction: str = "sum",
    ) -> None:
        super().__init__()
        _check_channels("student_channels", student_channels)
        _check_channels("teacher_channels", teacher_channels)
        if len(student_channels) != len(teacher_channels):
            raise ValueError(
                f"teacher_channels must hold as many numbers as student_channels, {len(student_channels)}, "
                f"got {len(teacher_channels)}"
            )
        check_choice("profile", profile, PROFILES)
        if len(weights) != 3:
            raise ValueError(f"weights must be the three numbers (a1, a2, a3) of equation 8, got {weights!r}")
        for index, weight in enumerate(weights):
            check_number(f"weights[{index}]", weight, positive=False)
        check_number("hard_weight", hard_weight, positive=False)
        check_number("soft_weight", soft_weight, positive=False)
        check_choice("reduction", reduction, ("sum", "batchmean"))

        self.student_channels = tuple(student_channels)
        self.teacher_channels = tuple(teacher_channels)
        self.profile = profile
        self.weights = tuple(weights)
        self.hard_weight = hard_weight
        self.soft_weight = soft_weight
        self.reduction = reduction
        self.embeddings = nn.ModuleList(
            _embedding(inputs, outputs, profile)
            for inputs, outputs in zip(student_channels, teacher_channels, strict=True)
        )

    def embed(self, student_features: Sequence[Tensor]) -> list[Tensor]:
        """The student's features (N, C_s, H, W) in the teacher's channels (N, C_t, H, W): equation 2."""
        _check_feature_count("student_features", student_features, self.student_channels)
        embedded = []
        for index, (convolution, feature) in enumerate(zip(self.embeddings, student_features, strict=True)):
            name = f"student_features[{index}]"
            check_feature(name, feature)
            _check_channel_count(name, feature, "student_channels", self.student_channels[index])
            result = convolution(feature)
            embedded.append(torch.relu(result) if self.profile == "released" else result)
        return embedded

    def forward(
        self,
        student_features: Sequence[Tensor],
        teacher_features: Sequence[Tensor],
        student_map: Tensor,
        teacher_map: Tensor | None,
        target: Tensor | None,
    ) -> TransferLoss:
        """All terms for one batch.

        student_features  one (N, C_s, H_i, W_i) for each of student_channels
        teacher_features  one (N, C_t, H_i, W_i) for each of teacher_channels
        student_map       (N, 1, h, w), the student's density map
        teacher_map       (N, 1, h, w), the teacher's; may be None where no term uses it
        target            (N, 1, h, w), made from the annotated points; may be None where no term uses it
        """
        _check_map("student_map", student_map)
        intra_weight, inter_weight, map_weight = self.weights
        zero = torch.zeros((), dtype=accumulation_dtype(student_map), device=student_map.device)
        intra = inter = hard = soft = zero

        if intra_weight != 0 or inter_weight != 0:
            embedded = self.embed(student_features)
            self._check_teacher(teacher_features)
        if intra_weight != 0:
            for student, teacher in zip(embedded, teacher_features, strict=True):
                intra = intra + cosine_transfer_loss(student, teacher, reduction=self.reduction)
        if inter_weight != 0:
            inter = self._relation_loss(embedded, teacher_features, student_map, teacher_map)
        if map_weight * self.hard_weight != 0:
            annotated = _check_target_map("target", target, "student_map", student_map)
            hard = reduce(_squared_error(student_map, annotated), self.reduction)
        if map_weight * self.soft_weight != 0:
            predicted = _check_target_map("teacher_map", teacher_map, "student_map", student_map)
            soft = reduce(_squared_error(student_map, predicted), self.reduction)

        maps = self.hard_weight * hard + self.soft_weight * soft
        total = intra_weight * intra + inter_weight * inter + map_weight * maps
        return TransferLoss(total, intra, inter, hard, soft)

    def extra_repr(self) -> str:
        return (
            f"profile={self.profile!r}, weights={self.weights}, hard_weight={self.hard_weight}, "
            f"soft_weight={self.soft_weight}, reduction={self.reduction!r}"
        )

    def _relation_loss(
        self,
        embedded: Sequence[Tensor],
        teacher_features: Sequence[Tensor],
        student_map: Tensor,
        teacher_map: Tensor | None,
    ) -> Tensor:
        if self.profile == "paper":
            return dense_fsp_loss(embedded, teacher_features, reduction=self.reduction)
        predicted = _check_target_map("teacher_map", teacher_map, "student_map", student_map)
        return dense_fsp_loss(
            [*embedded, student_map],
            [*teacher_features, predicted],
            size=(embedded[-1].shape[2], embedded[-1].shape[3]),
            normalize="instance",
            reduction=self.reduction,
        )

    def _check_teacher(self, teacher_features: Sequence[Tensor]) -> None:
        _check_feature_count("teacher_features", teacher_features, self.teacher_channels)
        for index, feature in enumerate(teacher_features):
            name = f"teacher_features[{index}]"
            check_feature(name, feature)
            _check_channel_count(name, feature, "teacher_channels", self.teacher_channels[index])


# Computation


def _embedding(inputs: int, outputs: int, profile: str) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1)
    if profile == "released":
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="linear")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    dtype = accumulation_dtype(student, teacher)
    return (student.to(dtype) - teacher.to(dtype)).square()


def _target_size(size: int | tuple[int, int] | None, last: Tensor) -> tuple[int, int]:
    if size is None:
        return last.shape[2], last.shape[3]
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    if not all(isinstance(length, (int, torch.SymInt)) for length in (height, width)):
        raise TypeError(f"size must be a whole number or a pair of them, got {size!r}")
    check_count("size", height)
    check_count("size", width)
    return height, width


def _kernel(index: int, feature: Tensor, height: int, width: int) -> tuple[int, int]:
    kernel = pooling_kernel(feature.shape[2], height), pooling_kernel(feature.shape[3], width)
    for axis, length, target, window in zip("HW", feature.shape[2:], (height, width), kernel, strict=True):
        if window == 0:
            raise ValueError(
                f"student_features[{index}] has {axis} = {length}, which no max pooling brings "
                f"to {axis} = {target}"
            )
    return kernel


def _pool(features: Sequence[Tensor], kernels: Sequence[tuple[int, int]]) -> list[Tensor]:
    return [
        feature if kernel == (1, 1) else torch.ops.skt_ext.max_pool_resize(feature, *kernel)[0]
        for feature, kernel in zip(features, kernels, strict=True)
    ]


def _pack(features: Sequence[Tensor], dtype: torch.dtype, normalize: str | None) -> Tensor:
    """All channels of all features, one row of h * w values each: (N, sum of C_i, h w)."""
    rows = torch.cat([feature.flatten(2).to(dtype) for feature in features], dim=1)
    if normalize is None:
        return rows
    centred = rows - rows.mean(2, keepdim=True)
    variance = centred.square().mean(2, keepdim=True)
    return centred * torch.rsqrt(variance + _INSTANCE_NORM_EPS)


# Checks


def _check_feature_lists(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
    for name, features in (("student_features", student_features), ("teacher_features", teacher_features)):
        if not isinstance(features, (list, tuple)):
            raise TypeError(f"{name} must be a list of tensors (N, C, H, W), got {type(features).__name__}")
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"teacher_features must hold as many features as student_features, {len(student_features)}, "
            f"got {len(teacher_features)}"
        )
    for index, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
        name = f"student_features[{index}]"
        check_student_and_teacher(student, teacher, name, f"teacher_features[{index}]")
        check_device(name, student, "student_features[0]", student_features[0])
        if student.shape[0] != student_features[0].shape[0]:
            raise ValueError(
                f"{name} must have the N of student_features[0], {student_features[0].shape[0]}, "
                f"got (N, C, H, W) = {tuple(student.shape)}"
            )


def _check_map(name: str, value: Any) -> None:
    check_feature(name, value)
    if value.shape[1] != 1:
        raise ValueError(f"{name} must have one channel, (N, 1, H, W), got {tuple(value.shape)}")


def _check_target_map(name: str, value: Any, predicted_name: str, predicted: Tensor) -> Tensor:
    _check_map(name, value)
    check_same_shape(name, value, predicted_name, predicted)
    check_device(name, value, predicted_name, predicted)
    check_fixed(name, value)
    return value  # type: ignore[no-any-return]


def _check_channels(name: str, channels: Sequence[int]) -> None:
    if len(channels) == 0:
        raise ValueError(f"{name} must hold at least one number of channels, got none")
    for index, count in enumerate(channels):
        check_count(f"{name}[{index}]", count)


def _check_feature_count(name: str, features: Sequence[Tensor], channels: Sequence[int]) -> None:
    if not isinstance(features, (list, tuple)):
        raise TypeError(f"{name} must be a list of tensors (N, C, H, W), got {type(features).__name__}")
    if len(features) != len(channels):
        raise ValueError(f"{name} must hold {len(channels)} features, got {len(features)}")


def _check_channel_count(name: str, feature: Tensor, declared_in: str, channels: int) -> None:
    if feature.shape[1] != channels:
        raise ValueError(
            f"{name} must have C = {channels}, as {declared_in} says, "
            f"got (N, C, H, W) = {tuple(feature.shape)}"
        )
