"""``skt prepare``: density maps on disk for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from skt_crowd.cli.data_options import KindOption, KindSettingsOption, SplitOption, parse_data_options

if TYPE_CHECKING:
    from skt_crowd.data.targets import Boundary

WIDTHS = "Width of a person's Gaussian"


def prepare(
    data: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the data set.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the maps; may hold other files.", show_default=False),
    ],
    kind: KindOption = "folder",
    split: SplitOption = "train",
    options: KindSettingsOption = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma",
            help="The same width for everyone, in pixels, instead of one from the neighbours.",
            rich_help_panel=WIDTHS,
            show_default=False,
        ),
    ] = None,
    beta: Annotated[
        float,
        typer.Option(
            "--beta", help="Width as a part of the mean distance to the neighbours.", rich_help_panel=WIDTHS
        ),
    ] = 0.3,
    neighbors: Annotated[
        int, typer.Option("--neighbors", help="How many nearest neighbours.", rich_help_panel=WIDTHS)
    ] = 3,
    boundary: Annotated[
        str,
        typer.Option(
            "--boundary",
            help="conserve: each person sums to one inside the image; clip: what reaches out is lost.",
        ),
    ] = "conserve",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace maps of an earlier call.")] = False,
) -> None:
    """Write the density map of every image as HDF5, for other programs.

    Example:  `skt prepare part_A --data-kind shanghaitech --output maps`

    Each image gets a file of its name with the dataset `density`, people per pixel; manifest.json holds the
    settings. Training does not need this: it makes its targets from the points as it goes.
    """
    from rich.console import Console
    from rich.progress import Progress

    from skt_crowd.data import SigmaRule, open_dataset, prepare_density_maps

    dataset = open_dataset(kind, data, split=split, **parse_data_options(options))
    rule = (
        SigmaRule("adaptive", beta=beta, neighbors=neighbors)
        if sigma is None
        else SigmaRule("fixed", value=sigma)
    )
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("maps", total=len(dataset))
        written = prepare_density_maps(
            dataset,
            output,
            sigma=rule,
            boundary=cast("Boundary", boundary),  # checked there
            overwrite=overwrite,
            on_image=lambda _: progress.advance(task),
        )
    console.print(
        f"{written.images} maps of {written.people:,} people in {written.output}, sum {written.mass:,.1f}"
        + (f"; {written.outside} points outside their images were left out" if written.outside else ""),
        highlight=False,
        soft_wrap=True,
    )
