"""``skt prepare``: density maps on disk for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

IMAGES, WIDTHS = "Images", "Width of a person's Gaussian"


def prepare(
    data: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the data set.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the maps.", show_default=False)],
    kind: Annotated[
        str, typer.Option("--data-kind", help="shanghaitech, ucf_cc_50 or folder.", rich_help_panel=IMAGES)
    ] = "folder",
    split: Annotated[str, typer.Option("--split", help="train, test, ...", rich_help_panel=IMAGES)] = "train",
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--data-option",
            metavar="NAME=VALUE",
            help="An option of the data kind, such as part=B. May be repeated.",
            rich_help_panel=IMAGES,
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma",
            help="The same for everyone, in pixels; left out: from the neighbours.",
            rich_help_panel=WIDTHS,
            show_default=False,
        ),
    ] = None,
    beta: Annotated[
        float,
        typer.Option("--beta", help="Times the mean distance to the neighbours.", rich_help_panel=WIDTHS),
    ] = 0.3,
    neighbors: Annotated[int, typer.Option("--neighbors", help="How many.", rich_help_panel=WIDTHS)] = 3,
    boundary: Annotated[
        str,
        typer.Option(
            "--boundary", help="conserve: each person sums to one in the image; clip: cut at the border."
        ),
    ] = "conserve",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace maps of an earlier call.")] = False,
) -> None:
    """Write one HDF5 file with the density map for each image, under the dataset name `density`.

    Example:  `skt prepare part_A --data-kind shanghaitech --output maps`

    Training does not need this: it makes its targets from points as it goes. It is for other programs that
    read such files.
    """
    from rich.console import Console
    from rich.progress import Progress

    from skt_crowd.cli.data_options import parse_data_options
    from skt_crowd.data import SigmaRule, open_dataset, prepare_density_maps

    if boundary not in ("conserve", "clip"):
        raise typer.BadParameter(f"--boundary: expected conserve or clip, got {boundary}")
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
            boundary="conserve" if boundary == "conserve" else "clip",
            overwrite=overwrite,
            on_image=lambda _: progress.advance(task),
        )
    console.print(
        f"{written.images} maps of {written.people:,} people in {written.output}, sum {written.mass:,.1f}"
        + (f"; {written.outside} points outside their images were left out" if written.outside else ""),
        highlight=False,
        soft_wrap=True,
    )
