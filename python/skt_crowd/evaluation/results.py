"""Write an evaluation to disk: a summary as JSON, one line per image as CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

from skt_crowd.evaluation.evaluator import Evaluation
from skt_crowd.files import write_text


def write_json(
    path: Path, evaluation: Evaluation, context: Mapping[str, str | int | float] | None = None
) -> None:
    """Errors, numbers of images and people, and ``context`` (model, data set ...), as one JSON object.

    A value that is not a number (the NAE of images without people) is written as null. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    summary = {
        **(context or {}),
        "images": len(evaluation.images),
        "people": sum(evaluation.actual),
        "predicted_people": sum(evaluation.predicted),
        "mae": evaluation.mae,
        "rmse": evaluation.rmse,
        "nae": None if math.isnan(evaluation.nae) else evaluation.nae,
    }
    write_text(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, evaluation: Evaluation) -> None:
    """One row per image: name, predicted, actual, error, height, width. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "predicted", "actual", "error", "height", "width"])
    for image in evaluation.images:
        rows.writerow(
            [
                image.name,
                f"{image.predicted:.3f}",
                image.actual,
                f"{image.error:.3f}",
                image.height,
                image.width,
            ]
        )
    write_text(path, text.getvalue())
