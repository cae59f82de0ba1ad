"""``skt report``: the report of a run, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)],
) -> None:
    """Write the report of a run and its pictures again, from what lies in its folder.

    Example:  `skt report runs/student`

    The data and, for a distilled student, the teacher must still be where the recipe says; without them the
    report says which pictures are missing.
    """
    from rich.console import Console

    from skt_crowd.training.report import write_report
    from skt_crowd.training.run_folder import RunFolder

    Console().print(str(write_report(RunFolder.open(run))), highlight=False, soft_wrap=True)
