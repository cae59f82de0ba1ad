"""The exponential moving average of a model's weights: in a short run it counts better than the last step."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from skt_crowd.models import CrowdCounter


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A running average ``a <- d a + (1 - d) w`` with d = min(decay, (1 + n) / (10 + n)) at update n.

    The smaller d at the beginning keeps the random start of the weights out of the average.
    Call ``update_parameters(model)`` after each step; the averaged model is ``.module``.
    """

    def blend(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        n = int(updates)
        return averaged.lerp(current, 1.0 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, avg_fn=blend)  # buffers are copied, not averaged
    average.requires_grad_(False)
    return average


def weights_of(model: CrowdCounter, average: AveragedModel | None) -> CrowdCounter:
    """The counter to evaluate and to save: the average where there is one."""
    if average is None:
        return model
    return cast(CrowdCounter, average.module)
