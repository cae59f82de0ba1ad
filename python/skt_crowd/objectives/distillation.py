"""What a student minimises that learns from the annotation and from a teacher (eq. 8 of the paper)."""

from typing import Literal

import torch
from torch import Tensor, nn

from skt_crowd.data import TrainingBatch
from skt_crowd.device import autocast_for
from skt_crowd.errors import UsageError
from skt_crowd.models import CrowdModel, FeatureTaps
from skt_crowd.objectives.supervised import LossSettings
from skt_crowd.settings import Settings, Weight
from skt_ext.losses import StructuredKnowledgeTransfer


class TransferSettings(Settings):
    """Weights of eq. 8: intra L_Intra + inter L_Inter + map (hard |M_s - M|^2 + soft |M_s - M_t|^2)."""

    profile: Literal["paper", "released"] = "paper"
    intra: Weight = 0.5
    inter: Weight = 0.5
    map: Weight = 1.0
    hard: Weight = 1.0
    soft: Weight = 1.0


class Distiller:
    """Run teacher and student on one batch and compare them.

    The teacher is in evaluation mode, without gradients and unchanged; it is no part of the optimiser. The
    1x1 embeddings (eq. 2) belong to the distiller, so the student has nothing to remove when it is deployed.

    Args:
        student, teacher: models with the same output stride and the same tapped layers.
        transfer, loss: the recipe's sections.
        precision: of the convolutions, see ``skt_crowd.device``.

    Raises:
        UsageError: student and teacher do not fit each other.
    """

    kind = "distill"

    def __init__(
        self,
        student: CrowdModel,
        teacher: CrowdModel,
        transfer: TransferSettings,
        loss: LossSettings,
        *,
        precision: str = "float32",
    ) -> None:
        if student.output_stride != teacher.output_stride:
            raise UsageError(
                f"teacher: one cell of its map is {teacher.output_stride} pixels, "
                f"one of the student's {student.output_stride}"
            )
        if len(student.tap_paths(transfer.profile)) != len(teacher.tap_paths(transfer.profile)):
            raise UsageError(f"teacher: {teacher.label} and {student.label} have different layers to compare")
        self.student = student
        self.teacher = teacher.eval().requires_grad_(False)
        self.transfer_loss = StructuredKnowledgeTransfer(
            student.tap_channels(transfer.profile),
            teacher.tap_channels(transfer.profile),
            profile=transfer.profile,
            weights=(transfer.intra, transfer.inter, transfer.map),
            hard_weight=transfer.hard if loss.kind == "map" else 0.0,
            soft_weight=transfer.soft,
            reduction=loss.reduction,
        )
        self.embeddings: nn.Module | None = self.transfer_loss
        self.transfer = transfer
        self.loss = loss
        self.precision = precision

    def modules(self) -> list[nn.Module]:
        """Student, teacher and embeddings."""
        return [self.student, self.teacher, self.transfer_loss]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """``loss`` (minimised), and unweighted ``intra``, ``inter``, ``hard``, ``soft``.

        ``hard`` is the recipe's loss against the annotation, which takes the place of |M_s - M|^2 in equation 7
        for teachers that were trained with another.
        """
        profile, image, target = self.transfer.profile, batch.image, batch.target
        with autocast_for(self.precision, image.device):
            with torch.no_grad(), FeatureTaps(self.teacher, self.teacher.tap_paths(profile)) as of_teacher:
                soft = self.teacher(image)  # (N, 1, h, w)
            with FeatureTaps(self.student, self.student.tap_paths(profile)) as of_student:
                predicted = self.student(image)  # (N, 1, h, w)
            terms = self.transfer_loss(of_student.features, of_teacher.features, predicted, soft, target)
        losses = {"loss": terms.total} | {name: getattr(terms, name) for name in self._terms()}
        if "hard" in losses and self.loss.kind != "map":
            losses["hard"] = self.loss.of(predicted, batch, self.student.output_stride)
            weight = self.transfer.map * self.transfer.hard
            losses["loss"] = losses["loss"] + weight * losses["hard"]
        self.loss.add_count(losses, predicted, target, self.student.output_stride)
        return losses

    def _terms(self) -> list[str]:
        """Terms with a weight; the others are not computed."""
        t = self.transfer
        weights = {"intra": t.intra, "inter": t.inter, "hard": t.map * t.hard, "soft": t.map * t.soft}
        return [name for name, weight in weights.items() if weight > 0]
