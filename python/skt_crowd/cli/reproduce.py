"""``skt reproduce``: the paper's efficiency figures beside ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from skt_crowd.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from skt_crowd.efficiency.paper import Cell, ReproducedRow


def reproduce(
    table: Annotated[str, typer.Argument(help="table1, table2 or table8.", show_default=False)],
    latency: Annotated[
        bool,
        typer.Option(
            "--latency", help="Also time each network on this machine's CPU; table8 takes many minutes."
        ),
    ] = False,
    threads: options.ThreadsOption = None,
) -> None:
    """Print the parameters and FLOPs of a table of the paper beside ours, counted anew.

    Example:  `skt reproduce table8`

    A cell agrees if ours rounds to what the paper prints. Cells that do not agree are explained below the table. The
    paper's errors (RMSE) are not part of it: they need its data and days on GPUs.
    """
    from rich.console import Console

    from skt_crowd.efficiency import reproduce_table
    from skt_crowd.efficiency.paper import NOTES

    options.use_threads(threads)
    console = Console()
    with console.status("counting") as status:
        rows = reproduce_table(table, on_row=lambda label: status.update(f"counting {label}"))
    console.print(_agreement(table, rows))
    cells = [cell for row in rows for cell in row.cells]
    parameters = [cell for cell in cells if cell.column == "parameters"]
    flops = [cell for cell in cells if cell.column != "parameters"]
    for kind, group in (("parameter counts", parameters), ("FLOP cells", flops)):
        console.print(f"{sum(cell.agrees for cell in group)} of {len(group)} {kind} agree", highlight=False)
    for cell in cells:
        if not cell.agrees:
            console.print(f"{cell.label}, {cell.column}: {cell.explanation}", highlight=False, soft_wrap=True)
    for model, note in NOTES.items():
        if any(row.model == model for row in rows):
            console.print(note, highlight=False, soft_wrap=True)
    if latency:
        with console.status("timing") as status:
            console.print(_times(rows, lambda text: status.update(f"timing {text}")))


def _agreement(name: str, rows: list[ReproducedRow]) -> Table:
    from rich.table import Table

    columns = [cell.column for cell in rows[0].cells]
    table = Table(
        title=f"{name}: the paper's figure above ours; parameters in millions, FLOPs in units of 10^9",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("network", no_wrap=True)
    for column in columns:
        table.add_column(_heading(column), justify="right")
    table.add_column(f"true GMACs\n{_heading(columns[1])}", justify="right")
    for row in rows:
        table.add_row(row.label, *(_pair(cell) for cell in row.cells), f"{row.macs / 1e9:,.2f}")
    return table


def _heading(column: str) -> str:
    from skt_crowd.efficiency.paper import SIZES

    return f"{column}\n{SIZES[column][0]}x{SIZES[column][1]}" if column in SIZES else column


def _pair(cell: Cell) -> str:
    ours = f"{cell.ours:.3f}"
    return f"{cell.paper}\n{ours if cell.agrees else f'[bold red]{ours} differs[/]'}"


def _times(rows: list[ReproducedRow], on_start: Callable[[str], None]) -> Table:
    """Seconds on the paper's CPU (Xeon E5, 2.4 GHz) and here, one pass after an untimed one."""
    import torch
    from rich.table import Table

    from skt_crowd.efficiency import measure_latency
    from skt_crowd.efficiency.paper import SIZES
    from skt_crowd.models import build_model

    table = Table(
        title="seconds on a CPU: the paper's (Xeon E5, 2.4 GHz) above "
        f"those here ({torch.get_num_threads()} threads, float32)",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("network", no_wrap=True)
    columns = list(rows[0].paper_cpu_seconds)
    for column in columns:
        table.add_column(_heading(column), justify="right")
    for row in rows:
        model = build_model(row.model, row.rate).eval()
        cells = []
        for column in columns:
            on_start(f"{row.label}, {column}")
            timing = measure_latency(model, *SIZES[column], rounds=1, warmup=1)
            cells.append(f"{row.paper_cpu_seconds[column]}\n{timing.median:.2f}")
        table.add_row(row.label, *cells)
    return table
