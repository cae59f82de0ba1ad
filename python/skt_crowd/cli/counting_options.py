"""Options that say how images are counted, shared by ``skt count`` and ``skt evaluate``."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.errors import UsageError

counting = partial(typer.Option, rich_help_panel="How images are counted")
GIB = 2**30

ProtocolOption = Annotated[
    str,
    counting("--protocol", metavar="NAME", help="How images are sized and cut; skt protocols lists them."),
]
TileOption = Annotated[
    int | None,
    counting("--tile", min=1, help="Side of a tile in pixels, for protocols with tiles.", show_default=False),
]
RegionOption = Annotated[
    Path | None,
    counting(
        "--roi",
        help="An image of the same size, white where people count and black elsewhere.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    float,
    counting(
        "--memory-budget",
        metavar="GIB",
        help="Memory above the weights that counting may take; larger images are counted in tiles that "
        "change nothing.",
    ),
]
DEFAULT_BUDGET = 2.0


def budget_bytes(gibibytes: float) -> int:
    """``--memory-budget`` in bytes.

    Raises:
        UsageError: not a positive number.

    Example:
        >>> budget_bytes(0.5)
        536870912
    """
    if not 0 < gibibytes < float("inf"):
        raise UsageError(f"--memory-budget: expected a positive number of GiB, got {gibibytes}")
    return int(gibibytes * GIB)
