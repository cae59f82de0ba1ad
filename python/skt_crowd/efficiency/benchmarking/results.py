"""Write what was measured: one CSV row per figure, with everything needed to read it later, and a plot."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skt_crowd.efficiency.benchmarking.kernels import KernelResult
from skt_crowd.efficiency.timing import Timing
from skt_crowd.machine import command, describe_device


def kernel_rows(results: Sequence[KernelResult]) -> list[dict[str, Any]]:
    """One row for each workload, setting, candidate and stage."""
    rows = []
    for result in results:
        setting = result.setting
        machine = describe_device(setting.device)
        for candidate, stages in result.stages.items():
            for stage in ("forward", "backward", "both"):
                timing: Timing = getattr(stages, stage)
                ratio = result.ratio(candidate, stage)
                rows.append(
                    {
                        "operator": result.workload.name,
                        "height": setting.height,
                        "width": setting.width,
                        "dtype": setting.dtype,
                        "layout": setting.layout,
                        "candidate": candidate,
                        "stage": stage,
                        **timing_columns(timing),
                        "skt_ext_times_faster": f"{ratio:.4g}",
                        "relative_error": f"{result.error:.1e}",
                        **machine,
                        "command": command(),
                    }
                )
    return rows


def timing_columns(timing: Timing) -> dict[str, Any]:
    """Median, quantiles, rounds and memory of one timing."""
    return {
        "median_s": f"{timing.median:.6g}",
        "q10_s": f"{timing.quantile(0.1):.6g}",
        "q90_s": f"{timing.quantile(0.9):.6g}",
        "rounds": len(timing.seconds),
        "peak_mib": f"{timing.peak_mib:.1f}",
    }


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; all of them have the columns of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plot_kernels(path: Path, results: Sequence[KernelResult]) -> None:
    """Milliseconds of forward and backward against the image's size, one panel per operator; log scales."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(result.workload.name for result in results))
    figure = Figure(figsize=(4.2 * len(names), 3.8), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        lines: dict[str, list[tuple[float, float]]] = {}
        for result in results:
            if result.workload.name == name:
                for candidate, stages in result.stages.items():
                    label = f"{candidate}, {result.setting.dtype}, {result.setting.layout}"
                    pixels = result.setting.height * result.setting.width / 1e6
                    lines.setdefault(label, []).append((pixels, stages.both.median * 1e3))
        for label, points in lines.items():
            panel.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
        panel.set(title=name, xlabel="megapixels of the image", ylabel="ms, forward and backward")
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=7)
    machine = describe_device(results[0].setting.device)
    figure.suptitle(
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}", fontsize=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
