"""Batches in an order that is a pure function of the step, so that a run can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from skt_crowd.data.crops import TrainingBatch, TrainingCrop
from skt_crowd.errors import SktError


def step_batches(
    crops: Dataset[TrainingCrop], start: int, stop: int, batch_size: int, *, workers: int = 0
) -> Iterator[TrainingBatch]:
    """The batches of the steps ``start`` to ``stop - 1``.

    Step s holds the crops s * batch_size to (s + 1) * batch_size - 1, whatever ran before and with however
    many workers.
    """
    order = [list(range(step * batch_size, (step + 1) * batch_size)) for step in range(start, stop)]
    loader = DataLoader(
        crops,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=TrainingBatch.of,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        yield from loader
    except SktError as error:
        # A worker's error arrives with its traceback in front of the message.
        message = str(error).strip().splitlines()[-1]
        raise type(error)(
            message.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
        ) from error
