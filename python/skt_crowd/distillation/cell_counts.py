"""The loss of counts in square cells, used beside the map losses of ``skt_ext.losses``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from skt_crowd.recipes.recipe import LossSettings


def cell_count_loss(predicted: Tensor, target: Tensor, cells: int, *, reduction: str = "batchmean") -> Tensor:
    """sum over squares of ``cells`` x ``cells`` of |people predicted - people there|.

    The squared error of a map is blind to many small errors of one sign, which is what ruins a count.

    Args:
        predicted, target: (N, 1, H, W) people per cell.
        cells: side of a square in cells; squares at the right and bottom border may be cut.
        reduction: ``"sum"`` over images or ``"batchmean"``.

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


def add_cell_count(
    losses: dict[str, Tensor], predicted: Tensor, target: Tensor, stride: int, settings: LossSettings
) -> None:
    """Add the weighted count term to ``losses["loss"]`` and itself as ``losses["count"]``, where wanted."""
    if settings.cell_count_weight == 0:
        return
    cells = max(1, settings.cell_pixels // stride)
    losses["count"] = cell_count_loss(predicted, target, cells, reduction=settings.reduction)
    losses["loss"] = losses["loss"] + settings.cell_count_weight * losses["count"]
