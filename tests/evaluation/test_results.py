"""What is written to disk reads back as what was measured."""

import csv
import json
from pathlib import Path

from skt_crowd.evaluation import Evaluation, ImageResult, write_csv, write_json

EVALUATION = Evaluation(
    (
        ImageResult("a,b", 6.5, 5, 2, 3, 1, (1.5, 1.5, 2.0, 3.25)),
        ImageResult("c", 20.0, 24, 4, 5, 6, (4.0, 5.0, 6.0, 7.0), psnr=20.0, ssim=0.5),
    ),
    map_quality="cells",
)


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "evaluation.json", EVALUATION, {"model": "csrnet"})
    written = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    intervals = written.pop("intervals")
    protocol = written.pop("protocol")
    assert written == {
        "model": "csrnet",
        "precision": "float32",
        "images": 2,
        "people": 29,
        "predicted_people": 26.5,
        "mae": 2.75,
        "rmse": ((1.5**2 + 4**2) / 2) ** 0.5,
        "nae": (1.5 / 5 + 4 / 24) / 2,
        "game": [2.75, 3.25, 4.0, 5.125],
        "map_quality": {"compared_on": "cells", "psnr": 20.0, "ssim": 0.5, "ssim_window": "gaussian"},
    }
    assert intervals["mae"] == [1.5, 4.0]
    assert (intervals["level"], intervals["seed"]) == (0.95, 0)
    assert (protocol["name"], protocol["cut"], protocol["truth"]) == ("whole", "whole", "points")


def test_json_has_null_where_there_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "e.json", Evaluation((ImageResult("empty", 1.0, 0, 8, 8, 1, (1.0,) * 4),)))
    assert json.loads((tmp_path / "e.json").read_text())["nae"] is None


def test_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "images.csv", EVALUATION)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    games = ["game_0", "game_1", "game_2", "game_3"]
    assert rows == [
        ["name", "predicted", "actual", "error", "height", "width", "passes", *games, "psnr", "ssim"],
        ["a,b", "6.500", "5", "1.500", "2", "3", "1", "1.500", "1.500", "2.000", "3.250", "", ""],
        [
            "c",
            "20.000",
            "24",
            "-4.000",
            "4",
            "5",
            "6",
            "4.000",
            "5.000",
            "6.000",
            "7.000",
            "20.0000",
            "0.5000",
        ],
    ]
