"""``skt distill``: a small counter from a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli.options import (
    DataOption,
    OutputOption,
    RecipeArgument,
    ResumeOption,
    SeedOption,
    SetOption,
    StepsOption,
    ThreadsOption,
    overrides,
)


def distill(
    recipe: RecipeArgument,
    output: OutputOption,
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher",
            help="Weights of the trained teacher, or the folder of its run (teacher.checkpoint).",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    seed: SeedOption = None,
    steps: StepsOption = None,
    threads: ThreadsOption = None,
    settings: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Distil a trained teacher into a student with a fraction of its channels.

    Example:  `skt distill csrnet_part_a_distill --teacher teacher.safetensors --data part_A --output
    runs/student`

    The student learns from the points and from the teacher's features, the relations between them, and its
    maps. The recipe holds the weight of each term: `--set transfer.inter=0` leaves the relations out.
    """
    from skt_crowd.cli.carry_out import carry_out
    from skt_crowd.cli.files import checkpoint_file

    changed = overrides(
        settings,
        teacher__checkpoint=checkpoint_file(teacher) if teacher is not None else None,
        data__root=data,
        training__seed=seed,
        training__steps=steps,
        training__threads=threads,
    )
    carry_out("distill", recipe, changed, output, resume=resume)
