"""The whole objective of Structured Knowledge Transfer, equation 8, as a module that owns the embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skt_ext._checks import (
    as_channels,
    as_number,
    check_channels,
    check_choice,
    check_device,
    check_fixed,
    check_map,
    check_same_batch,
    check_target_map,
)
from skt_ext._feature_distances import (
    cosine_loss,
    dense_fsp_distance,
    is_fusable,
    pooling_window,
    pooling_windows,
    product_precision,
)
from skt_ext._numerics import accumulation_dtype, reduce, squared_error

PROFILES = ("paper", "released")
EPS = 1e-8  # of cosine_transfer_loss


class TransferLoss(NamedTuple):
    """total = a1 * intra + a2 * inter + a3 * (hard_weight * hard + soft_weight * soft): equation 8 by its terms.

    A term whose weight is 0 is not computed and stands as 0.

    Attributes:
        total: The weighted sum, a scalar to call `backward` on.
        intra: Intra-Layer Pattern Transfer, equation 4, without its weight.
        inter: Inter-Layer Relation Transfer, equation 6, without its weight.
        hard: Squared error against the ground-truth map, without its weights.
        soft: Squared error against the teacher's map, without its weights.
    """

    total: Tensor
    intra: Tensor
    inter: Tensor
    hard: Tensor
    soft: Tensor


class StructuredKnowledgeTransfer(nn.Module):
    """a1 * intra + a2 * inter + a3 * (hard + soft): equation 8, with the embeddings of equation 2.

    The module owns the 1x1 convolutions that embed the student's features into the teacher's channels, so that a
    student carries nothing to remove when it is deployed. Give its parameters to the optimiser together with the
    student's.

    The profile "paper" follows the equations; "released" follows the authors' code, which differs in these points: a
    ReLU follows each embedding; features are instance-normalised before the FSP matrix (see `fsp_matrix`); the
    density map itself joins the FSP group as the last feature. Which features to pass differs, too (the authors tap
    conv2_1, conv3_1 and conv4_1 at their inputs); that is the caller's choice.

    Biases start at zero. Weights start Kaiming-normal: for "paper", where the embedding is linear, with gain 1 over
    the inputs, so that an embedded feature starts at the scale of the student's; for "released" with a ReLU's gain
    over the outputs, as in the authors' code.

    Args:
        student_channels: Channels of the student's features, in the order in which they will be passed.
        teacher_channels: Channels of the teacher's features, as many.
        profile: "paper" or "released".
        weights: (a1, a2, a3), each at least 0; the authors' values are the default. A term of weight 0 is skipped.
        hard_weight: Weight of the ground-truth map inside a3's term; 0 switches it off.
        soft_weight: Weight of the teacher's map inside a3's term; 0 switches it off.
        reduction: "sum" (the paper) or "batchmean".

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range, or the two lists of channels differ in length.

    Example:
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
        self.student_channels = as_channels("student_channels", student_channels)
        self.teacher_channels = as_channels("teacher_channels", teacher_channels)
        if len(student_channels) != len(teacher_channels):
            raise ValueError(
                f"teacher_channels must hold as many numbers as student_channels, {len(student_channels)}, "
                f"got {len(teacher_channels)}"
            )
        check_choice("profile", profile, PROFILES)
        if not isinstance(weights, (tuple, list)) or len(weights) != 3:
            raise ValueError(f"weights must be the three numbers (a1, a2, a3) of equation 8, got {weights!r}")
        check_choice("reduction", reduction, ("sum", "batchmean"))
        self.profile = profile
        self.weights = tuple(
            as_number(f"weights[{index}]", weight, positive=False) for index, weight in enumerate(weights)
        )
        self.hard_weight = as_number("hard_weight", hard_weight, positive=False)
        self.soft_weight = as_number("soft_weight", soft_weight, positive=False)
        self.reduction = reduction
        self.embeddings = nn.ModuleList(
            _embedding(inputs, outputs, profile)
            for inputs, outputs in zip(self.student_channels, self.teacher_channels, strict=True)
        )

    def embed(self, student_features: Sequence[Tensor]) -> list[Tensor]:
        """h = W s + b, after a ReLU in the profile "released": the embedded features of equation 2.

        Args:
            student_features: One feature (N, C_s, H_i, W_i) for each of student_channels.

        Returns:
            The features in the teacher's channels, (N, C_t, H_i, W_i) each.

        Raises:
            TypeError: The argument is no list of float tensors.
            ValueError: There are more or fewer features than student_channels, or one has other channels.
        """
        check_channels("student_features", student_features, "student_channels", self.student_channels)
        return [
            self._embed(convolution, feature)
            for convolution, feature in zip(self.embeddings, student_features, strict=True)
        ]

    def _embed(self, convolution: nn.Module, feature: Tensor) -> Tensor:
        embedded: Tensor = convolution(feature)
        return torch.relu(embedded) if self.profile == "released" else embedded

    def forward(
        self,
        student_features: Sequence[Tensor],
        teacher_features: Sequence[Tensor],
        student_map: Tensor,
        teacher_map: Tensor | None,
        target: Tensor | None,
    ) -> TransferLoss:
        """All terms of equation 8 for one batch.

        Args:
            student_features: One feature (N, C_s, H_i, W_i) for each of student_channels.
            teacher_features: One feature (N, C_t, H_i, W_i) for each of teacher_channels.
            student_map: The student's density map (N, 1, h, w).
            teacher_map: The teacher's (N, 1, h, w); may be None where no term uses it.
            target: The ground-truth map (N, 1, h, w), made from the annotated points; may be None where no term
                uses it.

        Returns:
            The terms and their weighted sum, `total`.

        Raises:
            TypeError: An argument has the wrong type or dtype.
            ValueError: Shapes or devices do not fit, or a target requires a gradient.
            NotImplementedError: A term of features takes part in forward-mode differentiation.
        """
        check_map("student_map", student_map)
        intra_weight, inter_weight, map_weight = self.weights
        zero = torch.zeros((), dtype=accumulation_dtype(student_map), device=student_map.device)
        intra = inter = hard = soft = zero

        if intra_weight != 0 or inter_weight != 0:
            self._check_features(student_features, teacher_features, student_map)
            if inter_weight != 0 and self.profile == "released":
                teacher_map = check_target_map("teacher_map", teacher_map, "student_map", student_map)
            intra, pooled = self._compare_patterns(student_features, teacher_features)
            if inter_weight != 0:
                inter = self._compare_relations(
                    pooled, student_features, teacher_features, student_map, teacher_map
                )
        if map_weight * self.hard_weight != 0:
            annotated = check_target_map("target", target, "student_map", student_map)
            hard = reduce(squared_error(student_map, annotated), self.reduction)
        if map_weight * self.soft_weight != 0:
            predicted = check_target_map("teacher_map", teacher_map, "student_map", student_map)
            soft = reduce(squared_error(student_map, predicted), self.reduction)

        maps = self.hard_weight * hard + self.soft_weight * soft
        total = intra_weight * intra + inter_weight * inter + map_weight * maps
        return TransferLoss(total, intra, inter, hard, soft)

    def extra_repr(self) -> str:
        return (
            f"profile={self.profile!r}, weights={self.weights}, hard_weight={self.hard_weight}, "
            f"soft_weight={self.soft_weight}, reduction={self.reduction!r}"
        )

    def _compare_patterns(
        self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Equation 4 over all features, and the embedded features pooled for equation 6, (N, C_t, h, w) each.

        The embedded features are the largest tensors of a training step and exist only to be compared: one
        operator embeds, compares and pools them without storing them.
        """
        intra_weight, inter_weight, _ = self.weights
        last = student_features[-1]
        windows = [(0, 0)] * len(student_features)
        if inter_weight != 0:
            windows = pooling_windows(student_features, (last.shape[2], last.shape[3]))
        images = max(last.shape[0], 1) if self.reduction == "batchmean" else 1
        total, pooled = torch.zeros((), dtype=accumulation_dtype(last), device=last.device), []
        for convolution, student, teacher, window in zip(
            self.embeddings, student_features, teacher_features, windows, strict=True
        ):
            assert isinstance(convolution, nn.Conv2d)
            target = teacher if intra_weight != 0 else None
            if is_fusable(window):
                distance, small, _, _ = torch.ops.skt_ext.embedded_distance(
                    student,
                    convolution.weight.flatten(1),
                    convolution.bias,
                    target,
                    self.profile == "released",
                    EPS,
                    *window,
                )
            else:
                hidden = self._embed(convolution, student)
                small = F.max_pool2d(hidden, window, ceil_mode=True)
                distance = total.new_zeros(())
                if target is not None:
                    distance = cosine_loss(hidden, target, EPS, intra_weight / images)
            total = total + distance
            pooled.append(small)
        return total / images, pooled

    def _compare_relations(
        self,
        pooled: Sequence[Tensor],
        student_features: Sequence[Tensor],
        teacher_features: Sequence[Tensor],
        student_map: Tensor,
        teacher_map: Tensor | None,
    ) -> Tensor:
        """Equation 6 of embedded features that are pooled already."""
        size = (pooled[-1].shape[2], pooled[-1].shape[3])
        student, teacher = list(pooled), list(teacher_features)
        student_windows, teacher_windows = [(1, 1)] * len(pooled), pooling_windows(student_features, size)
        if self.profile == "released":
            assert teacher_map is not None
            student.append(student_map)
            teacher.append(teacher_map)
            for windows in (student_windows, teacher_windows):
                windows.append(pooling_window("student_map", student_map, size))
        return dense_fsp_distance(
            student,
            teacher,
            student_windows,
            teacher_windows,
            normalize="instance" if self.profile == "released" else None,
            pairs="dense",
            reduction=self.reduction,
            precision=product_precision(*student_features, *teacher_features),
        )

    def _check_features(
        self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], student_map: Tensor
    ) -> None:
        """One student and one teacher feature for each embedding, which differ in their channels alone."""
        check_channels("student_features", student_features, "student_channels", self.student_channels)
        check_channels("teacher_features", teacher_features, "teacher_channels", self.teacher_channels)
        for index, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
            name, teacher_name = f"student_features[{index}]", f"teacher_features[{index}]"
            expected = (student.shape[0], teacher.shape[1], *student.shape[2:])
            if teacher.shape != expected:
                raise ValueError(
                    f"{teacher_name} must have the shape of {name} after its embedding, "
                    f"(N, C, H, W) = {tuple(expected)}, got {tuple(teacher.shape)}"
                )
            check_device(teacher_name, teacher, name, student)
            check_fixed(teacher_name, teacher)
            check_same_batch(name, student, "student_features[0]", student_features[0])
        check_same_batch("student_map", student_map, "student_features[0]", student_features[0])


def _embedding(inputs: int, outputs: int, profile: str) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1)
    if profile == "released":
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="linear")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
