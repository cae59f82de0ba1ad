"""Batches in an order that is a pure function of the step, so that a run can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


def step_batches(
    crops: Dataset[tuple[Tensor, Tensor, float]], start: int, stop: int, batch_size: int, *, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, H, W) and targets (N, 1, h, w) of the steps ``start`` to ``stop - 1``.

    Step s holds the crops s * batch_size to (s + 1) * batch_size - 1, whatever ran before and with however many workers.
    """
    order = [range(step * batch_size, (step + 1) * batch_size) for step in range(start, stop)]
    loader = DataLoader(crops, batch_sampler=order, num_workers=workers, pin_memory=torch.cuda.is_available())
    for image, target, _ in loader:
        yield image, target
