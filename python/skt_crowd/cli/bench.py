"""``skt bench``: benchmarks of the losses on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skt_crowd.cli import options

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from rich.table import Table

    from skt_crowd.efficiency.benchmarking.kernels import KernelResult

PAPER_SIZE = "576x864"
SIZES = ("128x128", "288x432", "576x864", "1080x1920", "2032x2912")


def bench(
    suite: Annotated[
        str,
        typer.Option("--suite", help="paper: one size, with limits and threads; sizes: a sweep of sizes."),
    ] = "paper",
    operators: Annotated[
        list[str] | None,
        typer.Option("--op", help="cosine, pool, fsp or losses; repeat for several.", show_default="all"),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", help="HxW of the image; repeat for several.", show_default="the suite's"),
    ] = None,
    dtypes: Annotated[
        list[str] | None,
        typer.Option("--dtype", help="float32, bfloat16 or float16; repeat.", show_default="float32"),
    ] = None,
    layouts: Annotated[
        list[str] | None,
        typer.Option("--layout", help="contiguous or channels_last; repeat.", show_default="contiguous"),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option("--against", help="eager or compile; repeat for both.", show_default="both"),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Recorded turns of each candidate.")] = 7,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
    output: Annotated[
        Path | None,
        options.optional("--output", "-o", help="Folder for kernels.csv and kernels.png; new or empty."),
    ] = None,
) -> None:
    """Time the losses against eager torch and torch.compile, forward and backward.

    Example:  `skt bench --suite paper --output bench`

    The features are those of a CSRNet and its quarter for an image of the given size. Results are compared with
    eager torch before anything is timed. Leave the machine alone meanwhile: on few cores a second busy process
    distorts everything.
    """
    import torch
    from rich.console import Console

    from skt_crowd.device import choose_device
    from skt_crowd.efficiency.benchmarking.kernels import PEERS, run_kernels
    from skt_crowd.efficiency.benchmarking.results import kernel_rows, plot_kernels, write_csv
    from skt_crowd.efficiency.benchmarking.workloads import DTYPES, LAYOUTS, WORKLOADS, Setting
    from skt_crowd.errors import UsageError
    from skt_crowd.files import require_unused

    if suite not in ("paper", "sizes"):
        raise UsageError(f"--suite: expected paper or sizes, got {suite!r}")
    operators = _chosen("--op", operators, tuple(WORKLOADS))
    dtypes = _chosen("--dtype", dtypes, tuple(DTYPES), ("float32",))
    layouts = _chosen("--layout", layouts, tuple(LAYOUTS), ("contiguous",))
    peers = _chosen("--against", peers, tuple(PEERS))
    wanted = [
        options.parse_size("--size", text) for text in sizes or ((PAPER_SIZE,) if suite == "paper" else SIZES)
    ]
    if output is not None:
        require_unused(output)
    options.use_threads(threads)
    where = choose_device(device)

    settings = [
        Setting(height, width, dtype, layout, where)
        for dtype in dtypes
        for layout in layouts
        for height, width in wanted
    ]
    console = Console()
    results = []
    with console.status("measuring") as status:
        for result in run_kernels(
            operators,
            settings,
            peers=peers,
            rounds=rounds,
            threads=suite == "paper" and torch.get_num_threads() > 1,
            on_start=lambda text: status.update(f"measuring {text}"),
        ):
            results.append(result)
    _print_machine(console, where)
    for result in results:
        console.print(_table(result))
    if suite == "paper":
        console.print(_limits(results, where))
    if output is not None:
        write_csv(output / "kernels.csv", kernel_rows(results))
        plot_kernels(output / "kernels.png", results)
        console.print(f"{output / 'kernels.csv'} and kernels.png", highlight=False, soft_wrap=True)


def _chosen(
    option: str, values: list[str] | None, known: tuple[str, ...], default: tuple[str, ...] | None = None
) -> list[str]:
    from skt_crowd.errors import UsageError

    for value in values or ():
        if value not in known:
            raise UsageError(f"{option}: expected one of {', '.join(known)}, got {value!r}")
    return list(values or default or known)


def _print_machine(console: Console, device: torch.device) -> None:
    from skt_crowd.machine import describe_device

    machine = describe_device(device)
    console.print(
        f"{machine['device']} ({machine['extensions']}), {machine['threads']} threads, torch {machine['torch']}",
        highlight=False,
        soft_wrap=True,
    )


def _table(result: KernelResult) -> Table:
    """One workload in one setting: one row per candidate."""
    from rich.table import Table

    setting = result.setting
    table = Table(
        title=f"{result.workload.name}, {setting.height}x{setting.width}, {setting.dtype}, {setting.layout}",
        title_justify="left",
    )
    table.add_column("ms", no_wrap=True)
    for heading in ("forward", "backward", "both", "10-90 %", "over skt_ext", "peak MiB"):
        table.add_column(heading, justify="right")
    for name, stages in result.stages.items():
        low, high = stages.both.quantile(0.1) * 1e3, stages.both.quantile(0.9) * 1e3
        table.add_row(
            name,
            *(f"{getattr(stages, stage).median * 1e3:,.2f}" for stage in ("forward", "backward", "both")),
            f"{low:,.1f}-{high:,.1f}",
            f"{result.ratio(name):,.2f}",
            f"{stages.both.peak_mib:,.0f}",
        )
    return table


def _limits(results: list[KernelResult], device: torch.device) -> Table:
    """How far each operator is from what this machine's memory and products allow, measured just now."""
    from rich.table import Table

    from skt_crowd.efficiency.benchmarking.kernels import OURS, copy_bandwidth, product_rate

    bandwidth, rate = copy_bandwidth(device), product_rate(device)
    table = Table(
        title=f"limits of this machine: copy {bandwidth / 1e9:.1f} GB/s, float32 product {rate / 1e9:.0f} GMAC/s",
        title_justify="left",
    )
    for heading in ("operator", "dtype", "layout"):
        table.add_column(heading)
    for heading in ("of copy", "of product", "1 to all threads"):
        table.add_column(heading, justify="right")
    for result in results:
        seconds = result.stages[OURS].both.median
        work = result.workload
        table.add_row(
            work.name,
            result.setting.dtype,
            result.setting.layout,
            f"{work.least_bytes / seconds / bandwidth:.0%}" if work.least_bytes else "-",
            f"{work.multiply_adds / seconds / rate:.0%}" if work.multiply_adds else "-",
            f"{result.one_thread / seconds:.2f}x" if result.one_thread else "-",
        )
    return table
