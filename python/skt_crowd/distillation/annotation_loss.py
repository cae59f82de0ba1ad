"""The loss against the annotation that a recipe names."""

from __future__ import annotations

from torch import Tensor

from skt_crowd.data.crops import TrainingBatch
from skt_crowd.distillation.bayesian_loss import bayesian_loss
from skt_crowd.distillation.structural_losses import (
    dilated_multiscale_ssim_loss,
    local_pattern_consistency_loss,
)
from skt_crowd.recipes.recipe import LossSettings


def annotation_loss(predicted: Tensor, batch: TrainingBatch, stride: int, settings: LossSettings) -> Tensor:
    """The distance of a predicted map (N, 1, h, w) from the batch's targets or points: a scalar.

    ``map`` is the squared error summed over cells, |M - T|^2; the others are described where they are defined.
    """
    reduction = settings.reduction
    if settings.kind == "bayesian":
        return bayesian_loss(
            predicted,
            batch.points,
            batch.shorter_sides,
            stride=stride,
            sigma=settings.bayesian.sigma,
            background_ratio=settings.bayesian.background_ratio,
            reduction=reduction,
        )
    if settings.kind == "dms_ssim":
        return dilated_multiscale_ssim_loss(predicted, batch.target, reduction=reduction)
    if settings.kind == "mse_lpc":
        weight = settings.local_pattern_weight
        return local_pattern_consistency_loss(predicted, batch.target, weight=weight, reduction=reduction)
    squared = (predicted.float() - batch.target).square().sum()
    return squared / len(predicted) if reduction == "batchmean" else squared
