"""Where a proof runs and at which sizes; how a stage writes down what it has so far."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

FLUSH_BYTES = 256 * 2**20  # more than the second-level cache of any GPU
HEAD_START = 2_000_000  # clocks, a millisecond: the device waits until the CPU has launched everything


@dataclass(frozen=True)
class Setting:
    """What every stage is told.

    Args:
        device: cuda, or cpu for a rehearsal.
        quick: small sizes and few rounds, for a rehearsal.
        result: the stage's own JSON file. It is written after each row, so that a stage that is stopped leaves some.
    """

    device: torch.device
    quick: bool
    result: Path

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image, the paper's unless it must be quick."""
        return (64, 96) if self.quick else (576, 864)

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 20 if self.device.type == "cuda" else 5

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        return torch.float32, torch.bfloat16, torch.float16

    def save(self, found: dict[str, Any]) -> None:
        self.result.write_text(json.dumps(found, indent=1))

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(
        self, call: Callable[[], object], rounds: int | None = None, *, kernels_alone: bool = False
    ) -> float:
        """Median of one call after two that are not counted; on CUDA with a cold second-level cache.

        Args:
            call: what is timed.
            rounds: how often; the setting's own where it is not given.
            kernels_alone: on CUDA, without the time that the CPU takes to launch them.
        """
        for _ in range(2):
            call()
        rounds = rounds or self.rounds
        if self.device.type != "cuda":
            return statistics.median(self._clocked(call) for _ in range(rounds))
        flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=self.device)
        laps = []
        for _ in range(rounds):
            flush.zero_()
            if kernels_alone:
                torch.cuda._sleep(HEAD_START)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            laps.append(start.elapsed_time(end) / 1e3)
        return statistics.median(laps)

    @staticmethod
    def _clocked(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def relative_difference(ours: torch.Tensor, truth: torch.Tensor) -> float:
    """|ours - truth| / |truth| of two tensors."""
    ours, truth = ours.detach().double(), truth.detach().double()
    return float((ours - truth).norm() / truth.norm().clamp(min=1e-30))
