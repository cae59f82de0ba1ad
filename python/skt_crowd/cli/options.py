"""Options that several commands share, with the words of their help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

SETTINGS = "Settings of the recipe"

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or the name of a recipe that comes with skt.", show_default=False
    ),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of the run; must be new or empty.", show_default=False)
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Folder of the images (data.root).", rich_help_panel=SETTINGS, show_default=False
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", help="Of weights and crops (training.seed).", rich_help_panel=SETTINGS, show_default=False
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        help="Updates of the weights (training.steps).",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="CPU threads of torch (training.threads).",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other key of the recipe, the value in YAML. May be repeated.",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in --output, to the same result as if it had never stopped."
    ),
]


def overrides(settings: list[str] | None, **values: Any) -> list[str]:
    """``--set`` texts, then one for each option that was given; double underscores in names stand for dots.

    >>> overrides(["data.crop=64"], training__steps=10, data__root=None)
    ['data.crop=64', 'training.steps=10']
    """
    given = {name.replace("__", "."): value for name, value in values.items() if value is not None}
    # JSON is YAML, and quotes a path that YAML would read as something else.
    return [*(settings or []), *(f"{name}={_yaml(value)}" for name, value in given.items())]


def _yaml(value: Any) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value)
