"""Write an evaluation to disk: a summary as JSON, one line per image as CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skt_crowd.evaluation.evaluator import Evaluation
from skt_crowd.evaluation.intervals import LEVEL, RESAMPLES, SEED
from skt_crowd.evaluation.map_quality import GAME_LEVELS
from skt_crowd.files import write_text


def write_json(path: Path, evaluation: Evaluation, context: Mapping[str, Any] | None = None) -> None:
    """``context`` (model, data set ...), the protocol with its settings, errors and their intervals. Atomic.

    A value that is not a number (the NAE of images without people) is written as null.

    Raises:
        SktError: the file cannot be written.
    """
    summary: dict[str, Any] = {
        **(context or {}),
        "protocol": evaluation.protocol.settings(),
        "precision": evaluation.precision,
        "images": len(evaluation.images),
        "people": sum(evaluation.actual),
        "predicted_people": sum(evaluation.predicted),
        "mae": evaluation.mae,
        "rmse": evaluation.rmse,
        "nae": _number(evaluation.nae),
        "game": list(evaluation.game),
    }
    if evaluation.map_quality != "none":
        summary["map_quality"] = {
            "compared_on": evaluation.map_quality,
            "psnr": evaluation.psnr,
            "ssim": evaluation.ssim,
            "ssim_window": "gaussian",
        }
    summary["intervals"] = {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": SEED,
        **{name: [_number(bound) for bound in bounds] for name, bounds in evaluation.intervals.items()},
    }
    write_text(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """One row per image: name, predicted, actual, error, height, width, passes, game_0 to game_3, psnr, ssim.

    A column whose values were not asked for, or not defined, is empty. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    levels = [f"game_{level}" for level in GAME_LEVELS]
    head = ["name", "predicted", "actual", "error", "height", "width", "passes", *levels, "psnr", "ssim"]
    rows.writerow(head)
    for image in evaluation.images:
        actual = f"{image.actual:.3f}" if evaluation.protocol.truth == "map" else image.actual
        game = [f"{error:.3f}" for error in image.game] or [""] * len(levels)
        sizes = [image.height, image.width, image.passes]
        quality = [_cell(image.psnr), _cell(image.ssim)]
        rows.writerow(
            [image.name, f"{image.predicted:.3f}", actual, f"{image.error:.3f}", *sizes, *game, *quality]
        )
    write_text(path, text.getvalue())


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"
