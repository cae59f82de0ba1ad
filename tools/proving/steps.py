"""Whole steps: the losses as a CUDA graph and compiled, and a distillation step against the released code's way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proving.setting import Setting, relative_difference, short

AGREEMENT = 1e-3  # relative, float32; half precisions are not compared: their steps are another computation
BATCHES = (1, 4, 16)

Row = dict[str, Any]


def distillation_steps(setting: Setting, on_row: Callable[[Row], None]) -> None:
    """Teacher forward, student forward and backward, all losses; ours in three precisions."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from bench_distillation_step import OurStep, both_steps, disagreement

    # float16 convolutions are emulated on the CPU, and slow.
    dtypes = setting.dtypes if setting.device.type == "cuda" else setting.dtypes[:2]
    for batch in BATCHES[:1] if setting.quick else BATCHES:
        row: Row = {"batch": batch, "size": setting.size, "error": None}
        try:
            eager, ours = both_steps(*setting.size, batch, setting.device)
            row["loss_difference"], row["gradient_difference"] = disagreement(eager, ours)
            if max(row["loss_difference"], row["gradient_difference"]) > AGREEMENT:
                row["error"] = f"the two ways differ by {row['gradient_difference']:.1e}"
            row["released"] = _timed(setting, eager)
            parts = ours.teacher, ours.student, ours.transfer, ours.image, ours.target
            for dtype in dtypes:
                row[short(dtype)] = _timed(setting, OurStep(*parts, precision=dtype))
        except torch.OutOfMemoryError:
            row["error"] = "out of the device's memory"
        on_row(row)


def _timed(setting: Setting, step: Callable[[], Tensor]) -> Row:
    seconds = setting.seconds(step, max(setting.rounds // 2, 2))
    found: Row = {"milliseconds": seconds * 1e3}
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setting.device)
        step()
        found["peak_mib"] = torch.cuda.max_memory_allocated(setting.device) / 2**20
    return found


def graphs_and_compile(setting: Setting, on_row: Callable[[Row], None]) -> None:
    """All losses of equation 8, forward and backward, three ways, which must agree."""
    from skt_crowd.efficiency.benchmarking.workloads import WORKLOADS
    from skt_crowd.efficiency.benchmarking.workloads import Setting as Image

    for dtype in setting.dtypes[: 1 if setting.quick else 3]:
        torch.manual_seed(0)
        workload = WORKLOADS["losses"](Image(*setting.size, short(dtype), "contiguous", setting.device))
        leaves = list(workload.student)

        def step(loss: Callable[..., Tensor], leaves: list[Tensor] = leaves) -> list[Tensor]:
            value = loss(leaves)
            return [value.detach(), *torch.autograd.grad(value, leaves)]

        expected = step(workload.ours)
        row: Row = {"dtype": short(dtype), "eager": setting.seconds(lambda: step(workload.ours)) * 1e3}  # noqa: B023
        if setting.device.type == "cuda":
            replay, captured = _captured(lambda: step(workload.ours))  # noqa: B023
            replay()
            row["graph_difference"] = _largest_difference(captured, expected)
            row["graph"] = setting.seconds(replay) * 1e3
        torch.compiler.reset()
        compiled = torch.compile(workload.ours, mode="reduce-overhead", fullgraph=True)

        def compiled_step() -> list[Tensor]:
            torch.compiler.cudagraph_mark_step_begin()
            return step(compiled)  # noqa: B023

        row["compiled_difference"] = _largest_difference([t.clone() for t in compiled_step()], expected)
        row["compiled"] = setting.seconds(compiled_step) * 1e3
        differences = [value for name, value in row.items() if name.endswith("_difference")]
        row["error"] = None if max(differences) < 1e-2 else f"results differ by {max(differences):.1e}"
        on_row(row)


def _captured(call: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
    """A CUDA graph of the call, and the tensors that each replay fills."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call()
    return graph.replay, captured


def _largest_difference(ours: list[Tensor], expected: list[Tensor]) -> float:
    return max(relative_difference(a, b) for a, b in zip(ours, expected, strict=True))


def paper_rows(setting: Setting, on_row: Callable[[Row], None]) -> None:
    """The rows of `skt bench --suite paper` in every dtype against eager torch, then against torch.compile."""
    from skt_crowd.efficiency.benchmarking.kernels import run_kernels
    from skt_crowd.efficiency.benchmarking.workloads import WORKLOADS
    from skt_crowd.efficiency.benchmarking.workloads import Setting as Image

    images = [Image(*setting.size, short(dtype), "contiguous", setting.device) for dtype in setting.dtypes]
    rounds = 2 if setting.quick else 7
    plans = [(image, ("eager",)) for image in images] + [
        (image, ("compile",)) for image in images[: not setting.quick]
    ]
    for image, peers in plans:
        for operator in WORKLOADS:
            row: Row = {"operator": operator, "dtype": image.dtype, "peer": peers[0], "error": None}
            try:
                (result,) = run_kernels([operator], [image], peers=peers, rounds=rounds)
            except Exception as error:
                on_row(row | {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
                continue
            for name, stages in result.stages.items():
                whose = "ours" if name == "skt_ext" else "peer"
                row[f"{whose}_forward"] = stages.forward.median * 1e3
                row[f"{whose}_both"] = stages.both.median * 1e3
                row[f"{whose}_peak_mib"] = stages.both.peak_mib
            on_row(row | {"difference": result.error, "times_faster": row["peer_both"] / row["ours_both"]})
