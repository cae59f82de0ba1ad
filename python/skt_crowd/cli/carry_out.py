"""What ``skt train`` and ``skt distill`` do once their options are read."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from skt_crowd.errors import UsageError
from skt_crowd.recipes.recipe_file import load_recipe
from skt_crowd.training.progress import duration
from skt_crowd.training.report import write_report
from skt_crowd.training.run import run_recipe
from skt_crowd.training.run_folder import RunFolder


def carry_out(kind: str, recipe_name: str, overrides: list[str], output: Path, *, resume: bool) -> None:
    """Run the recipe, write its report and print its result; refuses a recipe of the other kind."""
    recipe = load_recipe(recipe_name, overrides)
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
