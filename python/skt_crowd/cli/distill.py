"""``skt distill``: a small counter from a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli import options


def distill(
    recipe: options.RecipeArgument,
    output: options.OutputOption,
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher",
            help="Weights of the trained teacher, or the folder of its run (teacher.checkpoint).",
            show_default=False,
        ),
    ] = None,
    resume: options.ResumeOption = False,
    data: options.DataOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    threads: options.ThreadsOption = None,
    settings: options.SetOption = None,
) -> None:
    """Distil a trained teacher into a student with a fraction of its channels.

    Example:  `skt distill csrnet_part_a_distill --teacher runs/teacher --data part_A -o runs/student`

    `skt recipes` lists the recipes that come with skt: a student for each of csrnet, bl, sanet, can, dssinet and mcnn.

    Your own images have a CSV or JSON of points beside each:  `--set data.kind=folder --set data.options={}`

    The student learns from the points and from the teacher: its features, the relations between them, and its
    maps. The recipe weighs them:  `--set transfer.inter=0` leaves the relations out.
    """
    from skt_crowd.cli.carry_out import carry_out
    from skt_crowd.cli.files import checkpoint_file

    weights = checkpoint_file(teacher) if teacher is not None else None
    changes = options.overrides(settings, teacher=weights, data=data, seed=seed, steps=steps, threads=threads)
    carry_out("distill", recipe, changes, output, resume=resume)
