"""Losses of a counter that learns from the annotation alone."""

from __future__ import annotations

from torch import Tensor, nn

from skt_crowd.models import CrowdCounter
from skt_crowd.models.precision import autocast_for
from skt_crowd.training.losses import cell_count_loss
from skt_crowd.training.recipe import LossSettings


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


def add_cell_count(
    losses: dict[str, Tensor], predicted: Tensor, target: Tensor, stride: int, settings: LossSettings
) -> None:
    """Add the weighted count term to ``losses["loss"]`` and itself as ``losses["count"]``, where wanted."""
    if settings.cell_count_weight == 0:
        return
    cells = max(1, settings.cell_pixels // stride)
    losses["count"] = cell_count_loss(predicted, target, cells, reduction=settings.reduction)
    losses["loss"] = losses["loss"] + settings.cell_count_weight * losses["count"]
