"""What is written to disk reads back as what was measured."""

import csv
import json
from pathlib import Path

from skt_crowd.evaluation import Evaluation, ImageResult, write_csv, write_json

EVALUATION = Evaluation((ImageResult("a,b", 6.5, 5, 2, 3), ImageResult("c", 20.0, 24, 4, 5)))


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "evaluation.json", EVALUATION, {"model": "csrnet"})
    assert json.loads((tmp_path / "new" / "evaluation.json").read_text()) == {
        "model": "csrnet",
        "images": 2,
        "people": 29,
        "predicted_people": 26.5,
        "mae": 2.75,
        "rmse": ((1.5**2 + 4**2) / 2) ** 0.5,
        "nae": (1.5 / 5 + 4 / 24) / 2,
    }


def test_json_has_null_where_there_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "e.json", Evaluation((ImageResult("empty", 1.0, 0, 8, 8),)))
    assert json.loads((tmp_path / "e.json").read_text())["nae"] is None


def test_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "images.csv", EVALUATION)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["name", "predicted", "actual", "error", "height", "width"],
        ["a,b", "6.500", "5", "1.500", "2", "3"],
        ["c", "20.000", "24", "-4.000", "4", "5"],
    ]
