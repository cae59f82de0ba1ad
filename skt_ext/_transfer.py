"""The whole objective of Structured Knowledge Transfer, equation 8, as a module that owns the embeddings."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skt_ext._checks import (
    check_channel_count,
    check_channels,
    check_choice,
    check_device,
    check_feature,
    check_feature_count,
    check_fixed,
    check_map,
    check_number,
    check_target_map,
)
from skt_ext._feature_distances import (
    cosine_loss,
    dense_fsp_distance,
    is_fusable,
    pooling_kernels,
    product_precision,
)
from skt_ext._numerics import accumulation_dtype, reduce, squared_error

PROFILES = ("paper", "released")
EPS = 1e-8  # of cosine_transfer_loss


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
        check_channels("student_channels", student_channels)
        check_channels("teacher_channels", teacher_channels)
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
        check_feature_count("student_features", student_features, self.student_channels)
        embedded = []
        for index, (convolution, feature) in enumerate(zip(self.embeddings, student_features, strict=True)):
            name = f"student_features[{index}]"
            check_feature(name, feature)
            check_channel_count(name, feature, "student_channels", self.student_channels[index])
            embedded.append(self._embed(convolution, feature))
        return embedded

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
        """All terms for one batch.

        student_features  one (N, C_s, H_i, W_i) for each of student_channels
        teacher_features  one (N, C_t, H_i, W_i) for each of teacher_channels
        student_map       (N, 1, h, w), the student's density map
        teacher_map       (N, 1, h, w), the teacher's; may be None where no term uses it
        target            (N, 1, h, w), made from the annotated points; may be None where no term uses it
        """
        check_map("student_map", student_map)
        intra_weight, inter_weight, map_weight = self.weights
        zero = torch.zeros((), dtype=accumulation_dtype(student_map), device=student_map.device)
        intra = inter = hard = soft = zero

        if intra_weight != 0 or inter_weight != 0:
            self._check_features(student_features, teacher_features)
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
        kernels: list[tuple[int, int]] = [(0, 0)] * len(student_features)
        if inter_weight != 0:
            kernels = pooling_kernels(student_features, (last.shape[2], last.shape[3]))
        images = max(last.shape[0], 1) if self.reduction == "batchmean" else 1
        total, pooled = torch.zeros((), dtype=accumulation_dtype(last), device=last.device), []
        for convolution, student, teacher, kernel in zip(
            self.embeddings, student_features, teacher_features, kernels, strict=True
        ):
            assert isinstance(convolution, nn.Conv2d)
            target = teacher if intra_weight != 0 else None
            if is_fusable(kernel):
                distance, small, _, _ = torch.ops.skt_ext.embedded_distance(
                    student,
                    convolution.weight.flatten(1),
                    convolution.bias,
                    target,
                    self.profile == "released",
                    EPS,
                    *kernel,
                )
            else:
                hidden = self._embed(convolution, student)
                small = F.max_pool2d(hidden, kernel, ceil_mode=True)
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
        student, teacher = list(pooled), list(teacher_features)
        kernels = pooling_kernels(student_features, (pooled[-1].shape[2], pooled[-1].shape[3]))
        normalize = None
        if self.profile == "released":
            assert teacher_map is not None
            normalize = "instance"
            student.append(student_map)
            teacher.append(teacher_map)
            kernels += pooling_kernels([student_map], (pooled[-1].shape[2], pooled[-1].shape[3]))
        return dense_fsp_distance(
            student,
            teacher,
            [*[(1, 1)] * len(pooled), *kernels[len(pooled) :]],
            kernels,
            normalize=normalize,
            pairs="dense",
            reduction=self.reduction,
            precision=product_precision(*student_features, *teacher_features),
        )

    def _check_features(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
        """One student and one teacher feature for each embedding, which differ only in their channels."""
        check_feature_count("student_features", student_features, self.student_channels)
        check_feature_count("teacher_features", teacher_features, self.teacher_channels)
        for index, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
            name, teacher_name = f"student_features[{index}]", f"teacher_features[{index}]"
            check_feature(name, student)
            check_channel_count(name, student, "student_channels", self.student_channels[index])
            check_feature(teacher_name, teacher)
            check_channel_count(teacher_name, teacher, "teacher_channels", self.teacher_channels[index])
            expected = (student.shape[0], teacher.shape[1], *student.shape[2:])
            if teacher.shape != expected:
                raise ValueError(
                    f"{teacher_name} must have the shape of {name} after its embedding, "
                    f"(N, C, H, W) = {tuple(expected)}, got {tuple(teacher.shape)}"
                )
            check_device(teacher_name, teacher, name, student)
            check_device(name, student, "student_features[0]", student_features[0])
            check_fixed(teacher_name, teacher)
            if student.shape[0] != student_features[0].shape[0]:
                raise ValueError(
                    f"{name} must have the N of student_features[0], {student_features[0].shape[0]}, "
                    f"got (N, C, H, W) = {tuple(student.shape)}"
                )


def _embedding(inputs: int, outputs: int, profile: str) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=1)
    if profile == "released":
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="linear")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
