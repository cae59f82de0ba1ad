"""Options that say how images are counted, shared by ``skt count`` and ``skt evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.errors import UsageError

COUNTING = "How images are counted"
GIB = 2**30

ProtocolOption = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="How images are sized and cut; skt protocols lists them.",
        rich_help_panel=COUNTING,
    ),
]
TileOption = Annotated[
    int | None,
    typer.Option(
        "--tile",
        min=1,
        help="Side of a tile in pixels, for protocols with tiles.",
        rich_help_panel=COUNTING,
        show_default=False,
    ),
]
RegionOption = Annotated[
    Path | None,
    typer.Option(
        "--roi",
        help="An image of the same size, white where people count and black elsewhere.",
        rich_help_panel=COUNTING,
        show_default=False,
    ),
]
BudgetOption = Annotated[
    float,
    typer.Option(
        "--memory-budget",
        metavar="GIB",
        help="Memory above the weights that counting may take; larger images are counted in tiles that "
        "change nothing.",
        rich_help_panel=COUNTING,
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
