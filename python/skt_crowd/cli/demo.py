"""``skt demo``: the whole method on drawn crowds, without any data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli.options import SetOption, ThreadsOption, overrides


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the demonstration; new or empty, unless --resume is given.",
            show_default=False,
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed instead of three, a third of the steps.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the demonstration in --output; begin one where there is none. "
            "Finished runs are not repeated.",
        ),
    ] = False,
    threads: ThreadsOption = None,
    settings: SetOption = None,
) -> None:
    """Distil a teacher into a student on drawn crowds and compare with the same student without transfer.

    Example:  `skt demo --quick --output demo-run`

    Trains one small teacher, then the student four times for each seed: without transfer, with each of the
    paper's two transfers alone, and with everything. Ends in a table of test errors, report.md, and pictures.
    Nothing is downloaded; about two minutes on two idle cores with --quick, ten or more without.
    """
    from rich.console import Console
    from rich.table import Table

    from skt_crowd.recipes.demonstration import Demo
    from skt_crowd.recipes.demonstration_report import HEAD, write_demo_report

    console = Console()
    demonstration = Demo(output, quick=quick, overrides=overrides(settings, threads=threads), resume=resume)
    outcomes = demonstration.run(console)
    report = write_demo_report(demonstration, outcomes)
    table = Table(*HEAD, title="People, on test images; " + ("one seed" if quick else "three seeds"))
    for outcome in outcomes:
        table.add_row(*outcome.row())
    console.print(table)
    console.print(f"{report}, and each run beside it", highlight=False, soft_wrap=True)
