"""Time functions in turns in one process, so that a busy moment of the machine affects all of them."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skt_crowd.device import autocast_for
from skt_crowd.efficiency.memory import peak_memory_mib

_FLUSH_BYTES = 256 * 2**20  # more than the second-level cache of any GPU


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over the rounds, and the memory it added at its peak in MiB."""

    seconds: tuple[float, ...]
    peak_mib: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


@dataclass(frozen=True)
class Stages:
    """Timings of a loss's forward, of its backward, and of both together."""

    forward: Timing
    backward: Timing
    both: Timing


def time_alternately(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    device: torch.device | str = "cpu",
) -> dict[str, Timing]:
    """Call each candidate in turn, ``rounds`` times after ``warmup`` unrecorded turns.

    On a CUDA device each of them must end with a synchronisation.
    """
    for _ in range(warmup):
        for call in candidates.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            gc.collect()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Timing(tuple(seconds[name]), peak_memory_mib(call, device)) for name, call in candidates.items()
    }


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

    return time_alternately({"": forward}, rounds=rounds, warmup=warmup, device=device)[""]


def time_stages_alternately(
    candidates: Mapping[str, Callable[[], Tensor]],
    forget: Callable[[], None],
    *,
    device: torch.device,
    rounds: int,
    warmup: int = 2,
) -> dict[str, Stages]:
    """Time forward and backward of losses, in turns.

    Args:
        candidates: each returns a scalar loss with a graph.
        forget: drops the gradients that a backward left.
        device: where they compute; on CUDA events measure, and the cache is flushed before each turn.
        rounds: recorded turns.
        warmup: unrecorded turns, which compile and allocate.
    """
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for turn in range(warmup + rounds):
        for name, loss in candidates.items():
            forget()
            gc.collect()
            lap = _lap_on_cuda(loss, device) if device.type == "cuda" else _lap_on_cpu(loss)
            if turn >= warmup:
                laps[name].append(lap)
    stages = {}
    for name, loss in candidates.items():
        forget()
        forward_mib = peak_memory_mib(loss, device)
        forget()
        both_mib = peak_memory_mib(lambda loss=loss: loss().backward(), device)  # type: ignore[misc]
        stages[name] = Stages(
            forward=Timing(tuple(forward for forward, _ in laps[name]), forward_mib),
            backward=Timing(tuple(backward for _, backward in laps[name]), both_mib),
            both=Timing(tuple(sum(lap) for lap in laps[name]), both_mib),
        )
    forget()
    return stages


def _lap_on_cpu(loss: Callable[[], Tensor]) -> tuple[float, float]:
    start = time.perf_counter()
    value = loss()
    middle = time.perf_counter()
    value.backward()  # type: ignore[no-untyped-call]
    return middle - start, time.perf_counter() - middle


def _lap_on_cuda(loss: Callable[[], Tensor], device: torch.device) -> tuple[float, float]:
    torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device=device).zero_()
    start, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))  # type: ignore[no-untyped-call]
    start.record()
    value = loss()
    middle.record()
    value.backward()  # type: ignore[no-untyped-call]
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(middle) / 1e3, middle.elapsed_time(end) / 1e3
