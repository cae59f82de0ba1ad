"""``skt train``, ``skt distill`` and ``skt report``: a run from its recipe, and its report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from skt_crowd.cli import options


def train(
    recipe: options.RecipeArgument,
    output: options.RunOption,
    resume: options.ResumeOption = False,
    data: options.DataRootOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    threads: options.RunThreadsOption = None,
    settings: options.SetOption = None,
) -> None:
    """Train a model from images and points: a teacher, or a student without transfer.

    Example:  `skt train csrnet_part_a_teacher --data part_A --output runs/teacher`

    `skt recipes` lists the recipes that come with skt: a teacher for each of csrnet, bl, sanet, can, dssinet and mcnn.

    Your own images have a CSV or JSON of points beside each:  `--set data.kind=folder --set data.options={}`

    The best weights are chosen on a part of the training images that is not trained on. The run's folder gets
    them, recipe.yaml with every key there is, metrics, predictions, and report.md with figures.
    """
    _run("train", recipe, output, resume, settings, data=data, seed=seed, steps=steps, threads=threads)


def distill(
    recipe: options.RecipeArgument,
    output: options.RunOption,
    teacher: Annotated[
        Path | None,
        options.optional(
            "--teacher", help="Weights of the trained teacher, or the folder of its run (teacher.checkpoint)."
        ),
    ] = None,
    resume: options.ResumeOption = False,
    data: options.DataRootOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    threads: options.RunThreadsOption = None,
    settings: options.SetOption = None,
) -> None:
    """Distil a trained teacher into a student with a fraction of its channels.

    Example:  `skt distill csrnet_part_a_distill --teacher runs/teacher --data part_A -o runs/student`

    `skt recipes` lists the recipes that come with skt: a student for each of csrnet, bl, sanet, can, dssinet and mcnn.

    Your own images have a CSV or JSON of points beside each:  `--set data.kind=folder --set data.options={}`

    The student learns from the points and from the teacher: its features, the relations between them, and its
    maps. The recipe weighs them:  `--set transfer.inter=0` leaves the relations out.
    """
    weights = options.checkpoint_file(teacher) if teacher is not None else None
    given = {"teacher": weights, "data": data, "seed": seed, "steps": steps, "threads": threads}
    _run("distill", recipe, output, resume, settings, **given)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)],
) -> None:
    """Write the report of a run and its figures again, from what lies in its folder.

    Example:  `skt report runs/student`

    The data and, for a distilled student, the teacher must still be where the recipe says; without them the
    report says which figures are missing.
    """
    from rich.console import Console

    from skt_crowd.recipes.report import write_report
    from skt_crowd.training.run_folder import RunFolder

    Console().print(str(write_report(RunFolder.open(run))), highlight=False, soft_wrap=True)


def _run(
    kind: str, recipe_name: str, output: Path, resume: bool, settings: list[str] | None, **given: Any
) -> None:
    """Run the recipe, write its report and print its result; refuses a recipe of the other kind."""
    from rich.console import Console

    from skt_crowd.errors import UsageError
    from skt_crowd.recipes import load_recipe
    from skt_crowd.recipes.report import write_report
    from skt_crowd.recipes.run import run_recipe
    from skt_crowd.training.progress import duration
    from skt_crowd.training.run_folder import RunFolder

    recipe = load_recipe(recipe_name, options.overrides(settings, **given))
    if recipe.kind != kind:
        raise UsageError(f"{recipe_name}: a recipe of kind {recipe.kind}; use skt {recipe.kind}")
    console = Console()
    results = run_recipe(recipe, output, resume=resume, console=console)
    if "mae" in results:
        console.print(
            f"MAE {results['mae']:.2f}  RMSE {results['rmse']:.2f}  on {results['selected_on']}",
            highlight=False,
        )
    report = write_report(RunFolder.open(output))
    console.print(
        f"{results['model']}, {results['parameters']:,} parameters, {results['steps']} steps in "
        f"{duration(results['seconds'])}: {output / results['checkpoint']}, {report}",
        highlight=False,
        soft_wrap=True,
    )
