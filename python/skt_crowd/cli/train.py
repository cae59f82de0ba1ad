"""``skt train``: a counter from images and points."""

from __future__ import annotations

from skt_crowd.cli import options


def train(
    recipe: options.RecipeArgument,
    output: options.OutputOption,
    resume: options.ResumeOption = False,
    data: options.DataOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    threads: options.ThreadsOption = None,
    settings: options.SetOption = None,
) -> None:
    """Train a counter from images and points: a teacher, or a student without transfer.

    Example:  `skt train csrnet_part_a_teacher --data part_A --output runs/teacher`

    `skt recipes` lists the recipes that come with skt: a teacher for each of csrnet, bl, sanet, can, dssinet and mcnn.

    Your own images have a CSV or JSON of points beside each:  `--set data.kind=folder --set data.options={}`

    The best weights are chosen on a part of the training images that is not trained on. The run's folder gets
    them, recipe.yaml with every key there is, metrics, predictions, and report.md with pictures.
    """
    from skt_crowd.cli.carry_out import carry_out

    changes = options.overrides(settings, data=data, seed=seed, steps=steps, threads=threads)
    carry_out("train", recipe, changes, output, resume=resume)
