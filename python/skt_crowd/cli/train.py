"""``skt train``: a counter from images and points."""

from __future__ import annotations

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


def train(
    recipe: RecipeArgument,
    output: OutputOption,
    data: DataOption = None,
    seed: SeedOption = None,
    steps: StepsOption = None,
    threads: ThreadsOption = None,
    settings: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train a counter from images and points: a teacher, or a student without transfer.

    Example:  `skt train csrnet_part_a_teacher --data part_A --output runs/teacher --steps 2000`

    The run folder holds the resolved recipe, metrics, checkpoints, predictions and a report.md with pictures.
    The best checkpoint is chosen on a part of the training images that is not trained on. A run that was
    stopped goes on with --resume.
    """
    from skt_crowd.cli.carry_out import carry_out

    changed = overrides(
        settings, data__root=data, training__seed=seed, training__steps=steps, training__threads=threads
    )
    carry_out("train", recipe, changed, output, resume=resume)
