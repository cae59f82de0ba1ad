"""Options that several commands share, with their help texts."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from skt_crowd.errors import UsageError
from skt_crowd.training.run_folder import RunFolder

optional = partial(typer.Option, show_default=False)  # an option whose default is that it is not given

# Of the machine.
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="float32, bfloat16 or auto.")]
ThreadsOption = Annotated[
    int | None, optional("--threads", min=1, help="CPU threads; torch's choice if left out.")
]

# Of what is printed.
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs instead of a table.")]

# Of a run and its recipe.
setting = partial(optional, rich_help_panel="Changes to the recipe")
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A YAML file, or the name of a recipe that comes with skt.", show_default=False
    ),
]
RunOption = Annotated[
    Path, optional("--output", "-o", help="Folder of the run; new or empty, unless --resume is given.")
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the stopped run in --output, to the same weights as if it had never stopped.",
    ),
]
DataRootOption = Annotated[Path | None, setting("--data", help="Folder of the images (data.root).")]
SeedOption = Annotated[
    int | None, setting("--seed", help="Seed of the first weights and of the crops (training.seed).")
]
StepsOption = Annotated[
    int | None, setting("--steps", help="Updates of the weights, one per batch (training.steps).")
]
RunThreadsOption = Annotated[
    int | None, setting("--threads", help="CPU threads of torch (training.threads).")
]
SetOption = Annotated[
    list[str] | None,
    setting(
        "--set",
        metavar="KEY=VALUE",
        help="Any other key, the value in YAML: --set data.crop=256. May be repeated.",
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


def use_threads(threads: int | None) -> None:
    """Set torch's CPU threads, where a number is given."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


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
