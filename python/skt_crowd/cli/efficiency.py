"""``skt efficiency``: what models cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skt_crowd.cli import options

if TYPE_CHECKING:
    import torch
    from rich.table import Table


def efficiency(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Names such as csrnet or 1/4-csrnet.", show_default=False),
    ],
    size: Annotated[str, typer.Option("--size", help="HxW of the image in pixels.")] = "576x864",
    latency: Annotated[
        bool, typer.Option("--latency/--no-latency", help="Also time forward passes on this machine.")
    ] = True,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Timed passes, after two untimed ones.")] = 5,
    precision: options.PrecisionOption = "float32",
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Count a network's parameters, operations and memory for one image, and time it here.

    Example:  `skt efficiency csrnet 1/4-csrnet --size 576x864`

    MACs are multiply-adds of every convolution and product that really runs. "FLOPs (paper)" follow the convention of
    the paper's tables, which counts a multiply-add as one operation and leaves some layers out; `skt reproduce table8`
    compares them. Peak memory is that of the activations in a float32 pass, weights not included.
    """
    import torch
    from rich.console import Console

    from skt_crowd.device import choose_device

    height, width = options.parse_size("--size", size)
    options.use_threads(threads)
    where = choose_device(device)
    rows = [_costs(name, height, width, rounds if latency else 0, precision, where) for name in models]
    if as_json:
        context = {"height": height, "width": width, "device": str(where), "precision": precision}
        print(json.dumps({**context, "threads": torch.get_num_threads(), "networks": rows}, indent=2))
        return
    console = Console()
    console.print(_table(rows, f"one {height}x{width} image"))
    if latency:
        console.print(
            f"Time: median and 10-90 % of {rounds} passes after 2, batch 1, {precision}, {where}, "
            f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}",
            highlight=False,
        )


def _costs(
    label: str, height: int, width: int, rounds: int, precision: str, device: torch.device
) -> dict[str, Any]:
    from skt_crowd.efficiency import (
        count_macs,
        count_ptflops2020,
        measure_latency,
        parameters,
        peak_activation_bytes,
    )
    from skt_crowd.models import build_model

    rate, _, name = label.rpartition("-")
    model = build_model(name, rate or "1").eval()
    costs: dict[str, Any] = {
        "network": model.label,
        "parameters": parameters(model),
        "macs": count_macs(model, height, width),
        "flops_paper": count_ptflops2020(model, height, width),
        "peak_activation_bytes": peak_activation_bytes(model, height, width),
    }
    if rounds:
        timing = measure_latency(
            model.to(device), height, width, device=device, precision=precision, rounds=rounds
        )
        costs["seconds"] = {"median": timing.median, "q10": timing.quantile(0.1), "q90": timing.quantile(0.9)}
    return costs


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("network", no_wrap=True)
    for heading in ("parameters", "GMACs", "GFLOPs (paper)", "peak MiB", "ms (10-90 %)"):
        table.add_column(heading, justify="right")
    for row in rows:
        seconds = row.get("seconds")
        table.add_row(
            row["network"],
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e9:,.2f}",
            f"{row['flops_paper'] / 1e9:,.2f}",
            f"{row['peak_activation_bytes'] / 2**20:,.0f}",
            f"{seconds['median'] * 1e3:,.1f} ({seconds['q10'] * 1e3:,.1f}-{seconds['q90'] * 1e3:,.1f})"
            if seconds
            else "-",
        )
    return table
