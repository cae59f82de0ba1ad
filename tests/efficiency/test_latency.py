"""Latency: what is timed, and how often."""

import torch
from torch import nn

from skt_crowd.efficiency import measure_latency


class Counting(nn.Module):
    """Remembers the images it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], bool]] = []
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append((tuple(image.shape), image.is_contiguous(memory_format=torch.channels_last)))
        return self.layer(image)  # type: ignore[no-any-return]


def test_rounds_and_warm_up() -> None:
    model = Counting()
    timing = measure_latency(model, 5, 7, rounds=3, warmup=2)
    assert len(timing.seconds) == 3
    assert min(timing.seconds) > 0
    assert model.seen == [((1, 3, 5, 7), False)] * (3 + 2 + 1)  # the last for its memory


def test_channels_last() -> None:
    model = Counting()
    measure_latency(model, 5, 7, channels_last=True, rounds=1, warmup=0)
    assert all(channels_last for _, channels_last in model.seen)
