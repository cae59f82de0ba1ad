"""Options that name a data set, shared by the commands that read one without a recipe."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer
import yaml

from skt_crowd.errors import UsageError

images = partial(typer.Option, rich_help_panel="Images")

KindOption = Annotated[
    str,
    images(
        "--data-kind",
        help="How the images and points are stored: folder (your own), shanghaitech, ucf_cc_50, ucf_qnrf, mall, "
        "beijing_brt or synthetic.",
    ),
]
SplitOption = Annotated[str, images("--split", help="train, test, or the name of a folder below your own.")]
KindSettingsOption = Annotated[
    list[str] | None,
    images(
        "--data-option",
        metavar="NAME=VALUE",
        help="A setting of the data kind, such as part=B for shanghaitech. May be repeated.",
        show_default=False,
    ),
]


def parse_data_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """``--data-option`` texts as a dictionary, the values read as YAML.

    Raises:
        UsageError: a text without a name or an equals sign.

    Example:
        >>> parse_data_options(["part=B", "length=3"])
        {'part': 'B', 'length': 3}
    """
    values: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--data-option {text}: expected NAME=VALUE, for example part=B")
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--data-option {text}: the value is not YAML") from error
    return values
