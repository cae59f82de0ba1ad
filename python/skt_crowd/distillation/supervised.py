"""Losses of a counter that learns from the points alone: a teacher, or a student without transfer."""

from __future__ import annotations

from torch import Tensor, nn

from skt_crowd.distillation.cell_counts import add_cell_count
from skt_crowd.models import CrowdCounter
from skt_crowd.models.precision import autocast_for
from skt_crowd.recipes.recipe import LossSettings


class Supervised:
    """``|M_s - M|^2`` plus the weighted error of the counts in cells.

    ``losses`` returns ``loss``, which is minimised, and its parts by name.
    """

    embeddings: nn.Module | None = None

    def __init__(self, student: CrowdCounter, settings: LossSettings, *, precision: str = "float32") -> None:
        self.student = student
        self.settings = settings
        self.precision = precision

    def losses(self, image: Tensor, target: Tensor) -> dict[str, Tensor]:
        """image (N, 3, H, W), target (N, 1, h, w) people per cell."""
        with autocast_for(self.precision, image.device):
            predicted = self.student(image)  # (N, 1, h, w)
        hard = (predicted.float() - target).square().sum()
        if self.settings.reduction == "batchmean":
            hard = hard / len(image)
        losses = {"loss": hard, "hard": hard}
        add_cell_count(losses, predicted, target, self.student.output_stride, self.settings)
        return losses
