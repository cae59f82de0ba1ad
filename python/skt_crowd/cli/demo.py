"""``skt demo``: the whole method on synthetic crowds, without any data."""

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli import options


def demo(
    output: Annotated[
        Path,
        options.optional(
            "--output", "-o", help="Folder of the demonstration; new or empty, unless --resume is given."
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: one teacher, one student, half of the steps.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the demonstration in --output; begin one where there is none. "
            "Finished runs are not repeated.",
        ),
    ] = False,
    threads: options.RunThreadsOption = None,
    settings: options.SetOption = None,
) -> None:
    """Distil a teacher into a student on synthetic crowds and compare with the same student without transfer.

    Example:  `skt demo --quick --output demo-run`

    Trains one small teacher, then the student four times for each of three seeds: without transfer, with each of
    the paper's two transfers alone, and with everything. Ends in a table of test errors, report.md, and figures.
    Nothing is downloaded; ten minutes or more on two idle cores. With --quick, about two minutes: the teacher and
    one distilled student, without the comparison.
    """
    from rich.console import Console
    from rich.table import Table

    from skt_crowd.recipes.demonstration import Demo
    from skt_crowd.recipes.demonstration_report import HEAD, write_demo_report

    console = Console()
    demonstration = Demo(
        output, quick=quick, overrides=options.overrides(settings, threads=threads), resume=resume
    )
    outcomes = demonstration.run(console)
    report = write_demo_report(demonstration, outcomes)
    seeds = f"mean over {len(demonstration.seeds)} seeds" if not quick else "one seed, a first look"
    table = Table(*HEAD, title=f"Errors in people on test images; {seeds}")
    for outcome in outcomes:
        table.add_row(*outcome.row())
    console.print(table)
    console.print(f"{report}, and each run beside it", highlight=False, soft_wrap=True)
    if quick:
        console.print(
            "Without --quick, the student is compared with itself without transfer, over three seeds."
        )
