"""What a model minimises that learns from the annotation alone: a teacher, or a student without transfer."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skt_crowd.data import TrainingBatch
from skt_crowd.data.visibility import VisibilityRule
from skt_crowd.device import autocast_for
from skt_crowd.models import CrowdModel
from skt_crowd.objectives.bayesian import BayesianSettings, bayesian_loss
from skt_crowd.objectives.structural import dilated_multiscale_ssim_loss, local_pattern_consistency_loss
from skt_crowd.settings import Settings, Weight


def cell_count_loss(predicted: Tensor, target: Tensor, cells: int, *, reduction: str = "batchmean") -> Tensor:
    """sum over squares of ``cells`` x ``cells`` of |people predicted - people there|.

    The squared error of a map is blind to many small errors of one sign, which is what ruins a count.

    Args:
        predicted, target: (N, 1, H, W) people per cell.
        cells: side of a square in cells; squares at the right and bottom border may be cut.
        reduction: ``"sum"`` over images or ``"batchmean"``.

    Example:
        >>> import torch
        >>> cell_count_loss(torch.ones(1, 1, 2, 3), torch.zeros(1, 1, 2, 3), 2)
        tensor(6.)
    """
    difference = predicted.float() - target.float()  # (N, 1, H, W)
    counts = F.avg_pool2d(
        difference, cells, ceil_mode=True, divisor_override=1
    )  # (N, 1, ceil(H/cells), ceil(W/cells))
    total = counts.abs().sum()
    return total / len(predicted) if reduction == "batchmean" else total


class LossSettings(Settings):
    """The loss against the annotation, how losses are added up, and the counts in squares beside it."""

    # map: squared error of the map; bayesian: people given to each point (BL); dms_ssim: similarity at five scales
    # (DSSINet); mse_lpc: mean squared error and local pattern consistency (SANet).
    kind: Literal["map", "bayesian", "dms_ssim", "mse_lpc"] = "map"
    bayesian: BayesianSettings = BayesianSettings()
    # mse_lpc only
    local_pattern_weight: Weight = 0.001
    # Every loss is a sum over pixels. Over the images of a batch it is a sum (the paper) or a mean, with which
    # the batch size does not change the size of a step.
    reduction: Literal["sum", "batchmean"] = "batchmean"
    # Weight of the absolute error of the number of people in squares, which steadies the counts; 0: not used.
    cell_count_weight: Weight = 0.0
    cell_pixels: int = Field(default=64, ge=1)

    @property
    def visibility(self) -> VisibilityRule | None:
        """Who is visible in a crop, where the loss compares with points."""
        return self.bayesian if self.kind == "bayesian" else None

    def of(self, predicted: Tensor, batch: TrainingBatch, stride: int) -> Tensor:
        """The distance of a predicted map (N, 1, h, w) from the targets or points of its batch: a scalar.

        ``map`` is the squared error summed over cells, |M - T|^2; the others are described where they are defined.
        """
        if self.kind == "bayesian":
            return bayesian_loss(
                predicted,
                batch.points,
                batch.shorter_sides,
                stride=stride,
                sigma=self.bayesian.sigma,
                background_ratio=self.bayesian.background_ratio,
                reduction=self.reduction,
            )
        if self.kind == "dms_ssim":
            return dilated_multiscale_ssim_loss(predicted, batch.target, reduction=self.reduction)
        if self.kind == "mse_lpc":
            return local_pattern_consistency_loss(
                predicted, batch.target, weight=self.local_pattern_weight, reduction=self.reduction
            )
        squared = (predicted.float() - batch.target).square().sum()
        return squared / len(predicted) if self.reduction == "batchmean" else squared

    def add_count(self, losses: dict[str, Tensor], predicted: Tensor, target: Tensor, stride: int) -> None:
        """Add the weighted count term to ``losses["loss"]`` and itself as ``losses["count"]``, if it has a weight."""
        if self.cell_count_weight > 0:
            cells = max(1, self.cell_pixels // stride)
            losses["count"] = cell_count_loss(predicted, target, cells, reduction=self.reduction)
            losses["loss"] = losses["loss"] + self.cell_count_weight * losses["count"]


class Supervised:
    """The recipe's loss against the annotation plus the weighted error of the counts in cells.

    ``losses`` returns ``loss``, which is minimised, and its parts by name.
    """

    kind = "train"
    embeddings: nn.Module | None = None

    def __init__(self, student: CrowdModel, loss: LossSettings, *, precision: str = "float32") -> None:
        self.student = student
        self.loss = loss
        self.precision = precision

    def modules(self) -> list[nn.Module]:
        """The student."""
        return [self.student]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """``loss`` (minimised), ``hard``, and ``count`` where it has a weight."""
        stride = self.student.output_stride
        with autocast_for(self.precision, batch.image.device):
            predicted = self.student(batch.image)  # (N, 1, h, w)
        hard = self.loss.of(predicted, batch, stride)
        losses = {"loss": hard, "hard": hard}
        self.loss.add_count(losses, predicted, batch.target, stride)
        return losses
