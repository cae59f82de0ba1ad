"""Seconds of a forward pass on the device at hand."""

from __future__ import annotations

import time

import torch
from torch import nn

from skt_crowd.device import autocast_for
from skt_crowd.efficiency.memory import peak_memory_mib
from skt_crowd.efficiency.timing import Timing


def measure_latency(
    model: nn.Module,
    height: int,
    width: int,
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    channels_last: bool = False,
    rounds: int = 5,
    warmup: int = 2,
) -> Timing:
    """Seconds of one image through ``model``, batch 1, no gradients, and the memory it adds at its peak.

    Args:
        model: a crowd counting model on ``device``, in evaluation mode.
        height: of the image, in pixels.
        width: of the image, in pixels.
        device: where it computes; on CUDA every round ends with a synchronisation.
        precision: "float32", "bfloat16" or "auto".
        channels_last: memory format of image and weights, as ``skt count`` uses it.
        rounds: recorded passes.
        warmup: unrecorded passes before them.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.randn(1, 3, height, width, device=device).to(memory_format=memory_format)
    model = model.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward() -> None:
        with torch.inference_mode(), autocast_for(precision, device):
            density = model(image)
        if density.is_cuda:
            torch.cuda.synchronize(density.device)

    for _ in range(warmup):
        forward()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        forward()
        seconds.append(time.perf_counter() - start)
    return Timing(tuple(seconds), peak_memory_mib(forward, device))
