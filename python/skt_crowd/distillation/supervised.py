"""Losses of a counter that learns from the points alone: a teacher, or a student without transfer."""

from __future__ import annotations

from torch import Tensor, nn

from skt_crowd.data.crops import TrainingBatch
from skt_crowd.distillation.annotation_loss import annotation_loss
from skt_crowd.distillation.cell_counts import add_cell_count
from skt_crowd.models import CrowdCounter
from skt_crowd.models.precision import autocast_for
from skt_crowd.recipes.recipe import LossSettings


class Supervised:
    """The recipe's loss against the annotation plus the weighted error of the counts in cells.

    ``losses`` returns ``loss``, which is minimised, and its parts by name.
    """

    embeddings: nn.Module | None = None

    def __init__(self, student: CrowdCounter, settings: LossSettings, *, precision: str = "float32") -> None:
        self.student = student
        self.settings = settings
        self.precision = precision

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """``loss`` (minimised), ``hard``, and ``count`` where it has a weight."""
        stride = self.student.output_stride
        with autocast_for(self.precision, batch.image.device):
            predicted = self.student(batch.image)  # (N, 1, h, w)
        hard = annotation_loss(predicted, batch, stride, self.settings)
        losses = {"loss": hard, "hard": hard}
        add_cell_count(losses, predicted, batch.target, stride, self.settings)
        return losses
