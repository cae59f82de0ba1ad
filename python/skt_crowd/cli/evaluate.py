"""``skt evaluate``: errors of a model on annotated images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skt_crowd.cli import counting_options as counting
from skt_crowd.cli import options
from skt_crowd.cli.data_options import KindOption, KindSettingsOption, SplitOption, images, parse_data_options

if TYPE_CHECKING:
    from rich.table import Table

    from skt_crowd.evaluation import Evaluation


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="Weights of a model, or the folder of a run.", show_default=False
        ),
    ],
    kind: KindOption = "folder",
    data: Annotated[Path | None, images("--data", help="Folder of the images.", show_default=False)] = None,
    split: SplitOption = "test",
    held_out: Annotated[
        bool, images("--held-out/--all", help="Only the images that a run on this split held out, or all.")
    ] = False,
    fraction: Annotated[
        float,
        images(
            "--held-out-fraction", help="Part of the split that the run held out (data.held_out_fraction)."
        ),
    ] = 0.1,
    held_out_seed: Annotated[
        int, images("--held-out-seed", help="Which part that was (data.held_out_seed).")
    ] = 0,
    data_options: KindSettingsOption = None,
    output: Annotated[
        Path | None,
        options.optional(
            "--output", "-o", help="Folder for results.json and predictions.csv; must be new or empty."
        ),
    ] = None,
    protocol: counting.ProtocolOption = "whole",
    tile: counting.TileOption = None,
    truth: Annotated[
        str | None,
        counting.counting(
            "--truth",
            help="What counts are compared with: points, or map (its sum); the protocol's if left out.",
            show_default=False,
        ),
    ] = None,
    roi: counting.RegionOption = None,
    map_quality: Annotated[
        str,
        counting.counting(
            "--map-quality",
            help="PSNR and SSIM against the map made of the points: none, cells (of the output) or pixels (enlarged).",
        ),
    ] = "none",
    memory_budget: counting.BudgetOption = counting.DEFAULT_BUDGET,
    precision: options.PrecisionOption = "float32",
    device: options.DeviceOption = "auto",
) -> None:
    """Count the people in annotated images and compare with the points: MAE, RMSE, NAE and GAME.

    Example:  `skt evaluate runs/student --data-kind shanghaitech --data part_A`

    MAE and RMSE are in people, NAE is the mean of |error| / people, GAME(L) the sum of |error| over 4^L parts of
    an image; intervals are bootstrapped over the images. Images are counted whole and the truth is the number of
    annotated points, unless a protocol says otherwise. To evaluate on the images that a run held out of its training
    split:  `--split train --held-out`
    """
    from rich.console import Console
    from rich.progress import Progress

    from skt_crowd.data import hold_out, open_dataset, read_region
    from skt_crowd.device import choose_device
    from skt_crowd.evaluation import evaluate as evaluate_model
    from skt_crowd.evaluation import write_csv, write_json
    from skt_crowd.evaluation.evaluator import require_map_quality
    from skt_crowd.files import require_unused
    from skt_crowd.inference import find_protocol
    from skt_crowd.weights import load_model

    by = find_protocol(protocol, tile=tile, truth=truth)
    quality = require_map_quality(map_quality)
    budget = counting.budget_bytes(memory_budget)
    region = read_region(roi) if roi is not None else None
    if output is not None:
        require_unused(output)
    file = options.checkpoint_file(checkpoint)
    dataset = open_dataset(kind, data, split=split, **parse_data_options(data_options))
    indices = hold_out(dataset.names, fraction, held_out_seed)[1] if held_out else list(range(len(dataset)))
    chosen = f"{len(indices)} of {len(dataset)} images of {kind} {split}" + (
        " (held out)" if held_out else ""
    )
    where = choose_device(device)
    model = load_model(file).to(where)
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("counting", total=len(indices))
        result = evaluate_model(
            model,
            dataset,
            indices,
            device=where,
            precision=precision,
            protocol=by,
            memory_budget=budget,
            region=region,
            map_quality=quality,
            on_image=lambda _: progress.advance(task),
        )
    console.print(_heading(model.label, chosen, result), highlight=False, soft_wrap=True)
    console.print(_table(result))
    if output is not None:
        write_csv(output / "predictions.csv", result)
        context = {
            "checkpoint": str(file),
            "model": model.label,
            "data": chosen,
            "region_of_interest": str(roi) if roi is not None else None,
        }
        write_json(output / "results.json", result, context)
        console.print(
            f"{output / 'results.json'}, {output / 'predictions.csv'}", highlight=False, soft_wrap=True
        )


def _heading(model: str, data: str, result: Evaluation) -> str:
    """What was evaluated, on what, by which protocol and in which precision."""
    truth = "points" if result.protocol.truth == "points" else "the sum of a density map"
    return f"{model} on {data}, protocol {result.protocol.name}, against {truth}, in {result.precision}"


def _table(result: Evaluation) -> Table:
    """One line per error, with its 95 % bootstrap interval where it has one."""
    from rich.table import Column, Table

    table = Table("error", Column(justify="right"), Column("95 % interval", justify="right"))
    places = {"mae": 2, "rmse": 2, "nae": 3}
    for name, digits in places.items():
        low, high = result.intervals[name]
        value = getattr(result, name)
        shown = (f"{number:.{digits}f}" for number in (value, low, high))
        table.add_row(name.upper(), next(shown), "" if math.isnan(value) else " - ".join(shown))
    for level, error in enumerate(result.game[1:], start=1):
        table.add_row(f"GAME({level})", f"{error:.2f}", "")
    for name, unit in (("psnr", " dB"), ("ssim", "")):
        value = getattr(result, name)
        if value is not None:
            table.add_row(f"{name.upper()} on {result.map_quality}", f"{value:.3f}{unit}", "")
    return table
