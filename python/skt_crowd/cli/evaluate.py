"""``skt evaluate``: errors of a counter on annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli.data_options import IMAGES, KindOption, KindSettingsOption, SplitOption, parse_data_options


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="Weights of a counter, or the folder of a run.", show_default=False
        ),
    ],
    kind: KindOption = "folder",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the images.", rich_help_panel=IMAGES, show_default=False),
    ] = None,
    split: SplitOption = "test",
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out/--all",
            help="Only the images that a run on this split held out, or all.",
            rich_help_panel=IMAGES,
        ),
    ] = False,
    fraction: Annotated[
        float,
        typer.Option(
            "--held-out-fraction",
            help="Part of the split that the run held out (data.held_out_fraction).",
            rich_help_panel=IMAGES,
        ),
    ] = 0.1,
    held_out_seed: Annotated[
        int,
        typer.Option(
            "--held-out-seed", help="Which part that was (data.held_out_seed).", rich_help_panel=IMAGES
        ),
    ] = 0,
    options: KindSettingsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for results.json and predictions.csv; must be new or empty.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Count the people in annotated images and compare with the points: MAE, RMSE and NAE.

    Example:  `skt evaluate runs/student --data-kind shanghaitech --data part_A`

    MAE and RMSE are in people, NAE is the mean of |error| / people. Whole images are counted, one at a time,
    and the truth is the number of annotated points, never the sum of a map. To judge on the images that a run
    held out of its training split:  `--split train --held-out`
    """
    from rich.console import Console
    from rich.progress import Progress

    from skt_crowd.cli.files import checkpoint_file
    from skt_crowd.data import hold_out, open_dataset
    from skt_crowd.evaluation import evaluate as evaluate_model
    from skt_crowd.evaluation import write_csv, write_json
    from skt_crowd.files import require_unused
    from skt_crowd.models import load_model
    from skt_crowd.training.device import choose_device

    if output is not None:
        require_unused(output)
    file = checkpoint_file(checkpoint)
    dataset = open_dataset(kind, data, split=split, **parse_data_options(options))
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
            on_image=lambda _: progress.advance(task),
        )
    console.print(
        f"{model.label}: MAE {result.mae:.2f}  RMSE {result.rmse:.2f}  NAE {result.nae:.3f}  on {chosen}",
        highlight=False,
        soft_wrap=True,
    )
    if output is not None:
        write_csv(output / "predictions.csv", result)
        write_json(
            output / "results.json", result, {"checkpoint": str(file), "model": model.label, "data": chosen}
        )
        console.print(
            f"{output / 'results.json'}, {output / 'predictions.csv'}", highlight=False, soft_wrap=True
        )
