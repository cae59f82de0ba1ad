"""Options that several commands share, with their help texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from skt_crowd.errors import UsageError
from skt_crowd.training.run_folder import RunFolder

SETTINGS = "Changes to the recipe"

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or the name of a recipe that comes with skt.", show_default=False
    ),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder of the run; new or empty, unless --resume is given.",
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the stopped run in --output, to the same weights as if it had never stopped.",
    ),
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
        "--seed",
        help="Seed of the first weights and of the crops (training.seed).",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        help="Updates of the weights, one per batch (training.steps).",
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
        help="Any other key, the value in YAML: --set data.crop=256. May be repeated.",
        rich_help_panel=SETTINGS,
        show_default=False,
    ),
]

# The keys of a recipe that have an option of their own.
KEYS = {
    "teacher": "teacher.checkpoint",
    "data": "data.root",
    "seed": "training.seed",
    "steps": "training.steps",
    "threads": "training.threads",
}


def overrides(settings: list[str] | None, **given: Any) -> list[str]:
    """``--set`` texts, then one for each of the options ``KEYS`` that was given.

    Example:
        >>> overrides(["data.crop=64"], steps=10, data=None)
        ['data.crop=64', 'training.steps=10']
    """
    # JSON is YAML, and quotes a path that YAML would read as something else.
    texts = [f"{KEYS[name]}={_yaml(value)}" for name, value in given.items() if value is not None]
    return [*(settings or []), *texts]


def _yaml(value: Any) -> str:
    return json.dumps(str(value) if isinstance(value, Path) else value)


def checkpoint_file(path: Path) -> Path:
    """The weights to use: the file itself, or the best ones of a run folder."""
    return RunFolder.open(path).model() if path.is_dir() else path


def parse_size(option: str, text: str) -> tuple[int, int]:
    """``"576x864"`` -> (576, 864): height, width.

    Raises:
        UsageError: anything else; names ``option``.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) >= 1 and int(width) >= 1):
        raise UsageError(f"{option}: expected HxW such as 576x864, got {text!r}")
    return int(height), int(width)
