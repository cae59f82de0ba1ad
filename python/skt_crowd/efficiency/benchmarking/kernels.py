"""Time the losses of skt_ext against eager torch and torch.compile: check first, then measure."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skt_crowd.efficiency.benchmarking.workloads import WORKLOADS, Setting, Workload
from skt_crowd.efficiency.timing import Stages, time_stages_alternately
from skt_crowd.errors import SktError


def copy_bandwidth(device: torch.device | str = "cpu", *, mib: int = 128, rounds: int = 7) -> float:
    """Bytes per second that a copy of ``mib`` MiB reads and writes, the best of ``rounds``: what memory allows."""
    source = torch.ones(mib * 2**18, device=device)
    target = torch.empty_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), torch.device(device), rounds)
    return 2 * source.numel() * source.element_size() / seconds


def product_rate(device: torch.device | str = "cpu", *, size: int = 2048, rounds: int = 5) -> float:
    """Multiply-adds per second of a float32 product of two (size, size) matrices, the best of ``rounds``."""
    left, right = torch.randn(2, size, size, device=device)
    out = torch.empty_like(left)
    seconds = _best_seconds(lambda: torch.mm(left, right, out=out), torch.device(device), rounds)
    return size**3 / seconds


def _best_seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds + 1):  # the first warms up, and is rarely the best
        _synchronize(device)
        start = time.perf_counter()
        call()
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


OURS, EAGER, COMPILED = "skt_ext", "eager torch", "torch.compile"
PEERS = {"eager": EAGER, "compile": COMPILED}
# Relative error of loss and gradients beyond which nothing is timed: rounding of the inputs' own dtype.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}


@dataclass(frozen=True)
class KernelResult:
    """One workload in one setting: the timings of each candidate, and how well ours agreed with the reference."""

    workload: Workload
    setting: Setting
    stages: dict[str, Stages]
    error: float
    one_thread: float | None = None  # seconds of forward and backward of ours on one thread

    def ratio(self, peer: str, stage: str = "both") -> float | None:
        """How many times faster than ``peer``; None where it was not timed."""
        if peer not in self.stages:
            return None
        theirs: float = getattr(self.stages[peer], stage).median
        ours: float = getattr(self.stages[OURS], stage).median
        return theirs / ours


def run_kernels(
    operators: Sequence[str],
    settings: Sequence[Setting],
    *,
    peers: Sequence[str],
    rounds: int,
    threads: bool = False,
    on_start: Callable[[str], None] = lambda text: None,
) -> Iterator[KernelResult]:
    """Results in the order of the settings, then of the operators, as they come.

    Args:
        operators: keys of ``WORKLOADS``.
        settings: sizes, dtypes, layouts, device.
        peers: "eager", "compile" or both.
        rounds: recorded turns of each candidate.
        threads: also time ours on one thread (CPU).
        on_start: told what is measured next.

    Raises:
        SktError: ours and the reference disagree.
    """
    for setting in settings:
        for operator in operators:
            torch.manual_seed(0)
            workload = WORKLOADS[operator](setting)
            on_start(f"{workload.name}, {setting.height}x{setting.width}, {setting.dtype}, {setting.layout}")
            yield _measure(workload, setting, peers, rounds, threads and setting.device.type == "cpu")


def _measure(
    workload: Workload, setting: Setting, peers: Sequence[str], rounds: int, threads: bool
) -> KernelResult:
    error = _disagreement(workload)
    if not error <= TOLERANCE[setting.dtype]:
        raise SktError(
            f"{workload.name} at {setting.height}x{setting.width} in {setting.dtype}: skt_ext and the reference "
            f"differ by {error:.1e} (relative), more than {TOLERANCE[setting.dtype]:.0e}: not timed"
        )
    losses: dict[str, Callable[[], Tensor]] = {OURS: lambda: workload.ours(workload.student)}
    if "eager" in peers:
        losses[EAGER] = lambda: workload.eager(workload.student)
    if "compile" in peers:
        # Its logger warns every CPU-only user that there is no CUDA.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        torch.compiler.reset()
        compiled = torch.compile(workload.eager, dynamic=False)
        losses[COMPILED] = lambda: compiled(workload.student)

    def forget() -> None:
        for tensor in workload.student:
            tensor.grad = None

    stages = time_stages_alternately(losses, forget, device=setting.device, rounds=rounds)
    one_thread = _on_one_thread(losses[OURS], forget, setting, rounds) if threads else None
    return KernelResult(workload, setting, stages, error, one_thread)


def _on_one_thread(
    ours: Callable[[], Tensor], forget: Callable[[], None], setting: Setting, rounds: int
) -> float:
    several = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stages = time_stages_alternately({OURS: ours}, forget, device=setting.device, rounds=rounds)
    finally:
        torch.set_num_threads(several)
    return stages[OURS].both.median


def _disagreement(workload: Workload) -> float:
    """The largest relative difference of loss and gradients from the truth."""
    ours, truth = (_loss_and_gradients(loss, workload.student) for loss in (workload.ours, workload.truth))
    return max(float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in zip(ours, truth, strict=True))


def _loss_and_gradients(
    loss: Callable[[Sequence[Tensor]], Tensor], student: Sequence[Tensor]
) -> list[Tensor]:
    value = loss(student)
    return [value.detach().float(), *(grad.float() for grad in torch.autograd.grad(value, list(student)))]
