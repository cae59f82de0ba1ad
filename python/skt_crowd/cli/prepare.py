"""``skt prepare``: density maps on disk for other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from skt_crowd.cli.data_options import KindOption, KindSettingsOption, SplitOption, parse_data_options
from skt_crowd.cli.options import optional
from skt_crowd.errors import UsageError

if TYPE_CHECKING:
    from skt_crowd.data import SigmaRule
    from skt_crowd.data.prepare.maps import Layout

sigmas = partial(optional, rich_help_panel="Sigma of a person's Gaussian")
NEAREST_AT_MOST = 30.0  # pixels; the usual cap for UCF-QNRF


def prepare(
    data: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the data set.", show_default=False)
    ],
    output: Annotated[Path, optional("--output", "-o", help="Folder for the maps; may hold other files.")],
    kind: KindOption = "folder",
    split: SplitOption = "train",
    options: KindSettingsOption = None,
    widths: Annotated[
        str | None,
        sigmas(
            "--widths",
            help="adaptive: by the mean distance to the neighbours (the default); nearest: the distance to the "
            "nearest one, at most 30 pixels (usual for UCF-QNRF); perspective: a length in metres, for data "
            "sets with a perspective map; fixed: --sigma for everyone.",
        ),
    ] = None,
    sigma: Annotated[float | None, sigmas("--sigma", help="The sigma with fixed, in pixels.")] = None,
    beta: Annotated[
        float | None, sigmas("--beta", help="With adaptive, sigma as a fraction of the mean distance (0.3).")
    ] = None,
    neighbors: Annotated[
        int | None, sigmas("--neighbors", help="With adaptive, the number of nearest neighbours (3).")
    ] = None,
    metres: Annotated[
        float | None, sigmas("--metres", help="The sigma in metres with perspective (0.2).")
    ] = None,
    maximum: Annotated[
        float | None, sigmas("--maximum", help="No sigma above this many pixels; not with fixed.")
    ] = None,
    boundary: Annotated[
        str,
        typer.Option(
            "--boundary",
            help="conserve: each person sums to one inside the image; clip: what reaches out is lost.",
        ),
    ] = "conserve",
    geodesic_weight: Annotated[
        float | None,
        optional(
            "--geodesic-weight",
            help="Kernels that follow the outlines in the images: from 0, around the region's borders only, to "
            "below 1. Plain Gaussians unless given.",
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="images: a file for each image; split: one file, maps.h5.")
    ] = "images",
    contact_sheet: Annotated[
        bool,
        typer.Option(
            "--contact-sheet/--no-contact-sheet",
            help="Pages that show the images with their maps beside them.",
        ),
    ] = True,
    workers: Annotated[
        int | None, optional("--workers", help="Processes; as many as there are cores, unless given.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace maps that an earlier call made with other settings.")
    ] = False,
) -> None:
    """Write the density map of every image as HDF5, for other programs, and contact sheets to check them.

    Example:  `skt prepare part_A --data-kind shanghaitech --output maps`

    Each image gets a file of its name with the dataset `density`, people per pixel; manifest.json holds the
    settings and the SHA-256 of every input; contact_sheet/ shows the images with their maps. The same call
    again finishes one that was stopped. Training does not need this: it makes its targets from the points.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from skt_crowd.data import open_dataset
    from skt_crowd.data.prepare import MapSettings, prepare_density_maps
    from skt_crowd.machine import available_cores
    from skt_crowd.settings import validate

    rule = _sigma_rule(widths, sigma, beta=beta, neighbors=neighbors, metres=metres, maximum=maximum)
    making = {"sigma": rule, "boundary": boundary, "geodesic_weight": geodesic_weight}
    maps = validate(MapSettings, making, "maps")
    settings = parse_data_options(options)
    dataset = open_dataset(kind, data, split=split, **settings)
    console = Console()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("maps", total=len(dataset))
        written = prepare_density_maps(
            dataset,
            output,
            maps,
            layout=cast("Layout", layout),  # checked there
            workers=available_cores() if workers is None else workers,
            contact_sheet=contact_sheet,
            overwrite=overwrite,
            source={"split": split, **settings},
            on_image=lambda _: progress.advance(task),
        )
    there = written.images - written.made
    console.print(
        f"{written.images} maps of {written.people:,} people in {written.output}, sum {written.mass:,.1f}"
        + (f"; {there} of them were there" if there else "")
        + (f"; {written.outside} points outside were left out" if written.outside else "")
        + (f"; {written.pages} contact sheets" if written.pages else ""),
        highlight=False,
        soft_wrap=True,
    )


def _sigma_rule(widths: str | None, sigma: float | None, **given: float | None) -> SigmaRule:
    """The rule that the options describe; an option that the rule does not have is refused."""
    from skt_crowd.data import SigmaRule
    from skt_crowd.settings import validate

    name = widths or ("adaptive" if sigma is None else "fixed")
    known = {
        "adaptive": ("beta", "neighbors", "maximum"),
        "nearest": ("maximum",),
        "perspective": ("metres", "maximum"),
        "fixed": ("sigma",),
    }
    if name not in known:
        raise UsageError(f"--widths: expected one of {', '.join(known)}, got {name!r}")
    values = {key: value for key, value in {"sigma": sigma, **given}.items() if value is not None}
    for key in values:
        if key not in known[name]:
            raise UsageError(f"--{key}: widths {name} has no such option")
    if name == "fixed":
        if sigma is None:
            raise UsageError("--widths fixed: needs --sigma")
        rule: dict[str, Any] = {"kind": name, "value": sigma}
    elif name == "nearest":
        rule = {"beta": 1.0, "neighbors": 1, "maximum": NEAREST_AT_MOST, **values}
    else:
        rule = {"kind": name, **values}
    return validate(SigmaRule, rule, f"--widths {name}")
