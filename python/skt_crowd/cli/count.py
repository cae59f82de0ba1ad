"""``skt count``: people in photographs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from skt_crowd.cli import counting_options as counting
from skt_crowd.cli import options

# Measured by benchmarks/bench_precision.py.
BFLOAT16_EFFECT = (
    "Counted in bfloat16, which is fastest here. On 25 photographs it changed the counts of CSRNet by up to 0.3 % "
    "and those of MCNN by up to 1.8 %; --precision float32 avoids this."
)


def count(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Photographs: JPEG, PNG, ...", show_default=False)
    ],
    model: Annotated[
        Path, options.optional("--model", "-m", help="Weights of a model, or the folder of a run.")
    ],
    output: Annotated[
        Path | None,
        options.optional(
            "--output",
            "-o",
            help="Folder for an overlay of each image with its crowd as heat, and counts.json; new or empty.",
        ),
    ] = None,
    as_json: options.JsonOption = False,
    protocol: counting.ProtocolOption = "whole",
    tile: counting.TileOption = None,
    roi: counting.RegionOption = None,
    memory_budget: counting.BudgetOption = counting.DEFAULT_BUDGET,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="float32, bfloat16 (faster, counts change a little), or auto: bfloat16 where the machine "
            "computes it in hardware.",
        ),
    ] = "auto",
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Count the people in photographs of any size.

    Example:  `skt count square.jpg station.jpg --model student.safetensors --output counted`

    Prints the number of people in each image. A large image is counted in tiles that see enough of their
    surroundings to change nothing, where the network allows it. `skt evaluate` tells how far off
    such counts are, on annotated images of the same place.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from skt_crowd.data import read_image, read_region
    from skt_crowd.device import choose_device, resolve_precision
    from skt_crowd.files import require_unused
    from skt_crowd.inference import count_image, counts_as_json, find_protocol, save_overlay, write_counts
    from skt_crowd.weights import load_model

    by = find_protocol(protocol, tile=tile)
    budget = counting.budget_bytes(memory_budget)
    region = read_region(roi) if roi is not None else None
    if output is not None:
        require_unused(output)
    options.use_threads(threads)
    file = options.checkpoint_file(model)
    where = choose_device(device)
    precision = resolve_precision(precision, where)
    network = load_model(file).to(where)
    results = [
        count_image(
            network, path, device=where, precision=precision, protocol=by, memory_budget=budget, region=region
        )
        for path in images
    ]
    context: dict[str, Any] = {
        "checkpoint": str(file),
        "model": network.label,
        "device": str(where),
        "precision": precision,
        "protocol": by.settings(),
        "region_of_interest": str(roi) if roi is not None else None,
    }
    if output is not None:
        for number, result in enumerate(results, start=1):
            # Numbered, because images of different folders may share a name.
            name = f"{number:04}_{result.path.stem}.jpg" if len(results) > 1 else f"{result.path.stem}.jpg"
            save_overlay(output / name, read_image(result.path), result)
        write_counts(output / "counts.json", results, context)
    if as_json:
        print(counts_as_json(results, context), end="")
        return
    table = Table(Column("image", overflow="fold"), "people", "size", "seconds")
    for result in results:
        table.add_row(
            str(result.path),
            f"{result.people:,}",
            f"{result.width} x {result.height}",
            f"{result.seconds:.2f}",
        )
    console = Console()
    console.print(table)
    if precision == "bfloat16":
        console.print(BFLOAT16_EFFECT, highlight=False, soft_wrap=True)
    if output is not None:
        console.print(
            f"{output / 'counts.json'} and {len(results)} overlays", highlight=False, soft_wrap=True
        )
