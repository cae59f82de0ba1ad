"""Protocols, tiles, regions and budgets on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skt_crowd.models import build_model
from skt_crowd.weights import save_model
from tests.cli.command_line import refused, skt


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, build_model("csrnet", "1/16"))
    return path


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one photograph with three people, one of them outside the region of interest."""
    folder = tmp_path_factory.mktemp("street")
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "a.csv").write_text("x,y\n10,10\n40,60\n250,60\n")
    return folder


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("region") / "region.png"
    mask = np.zeros((200, 300), np.uint8)
    mask[:, :150] = 255
    Image.fromarray(mask).save(path)
    return path


def test_evaluate_writes_down_what_it_did(model: Path, street: Path, region: Path, tmp_path: Path) -> None:
    options = ["--protocol", "tiles-halo", "--tile", 64, "--map-quality", "cells", "--roi", region]
    ended = skt("evaluate", model, "--data", street, *options, "--output", tmp_path / "out")
    assert ended.code == 0, ended.err
    for word in ("protocol tiles-halo, against points", "MAE", "95 % interval", "GAME(3)", "PSNR on cells"):
        assert word in ended.out
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["protocol"]["name"] == "tiles-halo"
    assert results["protocol"]["tile"] == 64
    assert results["region_of_interest"] == str(region)
    assert results["people"] == 2
    assert len(results["game"]) == 4
    row = (tmp_path / "out/predictions.csv").read_text().splitlines()[1].split(",")
    assert int(row[6]) == 20  # passes: 4 x 5 tiles of 64 pixels


def test_count_takes_the_same_options(model: Path, street: Path, region: Path) -> None:
    def count(*options: object) -> dict[str, object]:
        ended = skt("count", street / "a.png", "--model", model, "--json", "--precision", "float32", *options)
        assert ended.code == 0, ended.err
        found: dict[str, object] = json.loads(ended.out)
        return found

    whole, tiled, inside = count(), count("--protocol", "tiles-halo", "--tile", 64), count("--roi", region)
    assert tiled["images"][0]["passes"] == 20  # type: ignore[index]
    assert tiled["images"][0]["count"] == pytest.approx(whole["images"][0]["count"], rel=1e-3)  # type: ignore[index]
    assert inside["images"][0]["count"] != whole["images"][0]["count"]  # type: ignore[index]
    assert tiled["protocol"]["cut"] == "halo"  # type: ignore[index]


def test_outputs_say_which_precision_was_used(
    model: Path, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skt_crowd.device.has_native_bfloat16", lambda device: True)  # so auto is bfloat16
    image = street / "a.png"
    chosen, exact = (
        skt("count", image, "--model", model),
        skt("count", image, "-m", model, "--precision", "float32"),
    )
    assert "Counted in bfloat16" in chosen.out
    assert "bfloat16" not in exact.out
    for options, precision in (((), "bfloat16"), (("--precision", "float32"), "float32")):
        found = json.loads(skt("count", image, "--model", model, "--json", *options).out)
        assert (found["precision"], found["images"][0]["precision"]) == (precision, precision)
    for options, precision in (((), "float32"), (("--precision", "auto"), "bfloat16")):
        output = tmp_path / precision
        ended = skt("evaluate", model, "--data", street, "--output", output, *options)
        assert f"in {precision}" in " ".join(ended.out.split())
        assert json.loads((output / "results.json").read_text())["precision"] == precision


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "half"], "protocol: expected one of whole, tiles-halo,"),
        (["--tile", 64], "tile: protocol whole has no tiles"),
        (["--memory-budget", 0], "--memory-budget: expected a positive number of GiB, got 0.0"),
        (["--roi", "nowhere.png"], "nowhere.png: no such file"),
    ],
)
def test_bad_options(model: Path, street: Path, options: list[object], message: str) -> None:
    for command in (["count", street / "a.png", "--model", model], ["evaluate", model, "--data", street]):
        ended = skt(*command, *options)
        assert message in refused(ended, ended.code)


def test_bad_options_of_evaluate(model: Path, street: Path, tmp_path: Path) -> None:
    black = tmp_path / "black.png"
    Image.new("L", (300, 200)).save(black)
    for options, message in (
        (["--truth", "sum"], "truth: expected points or map, got 'sum'"),
        (["--map-quality", "high"], "map quality: expected none, cells, pixels, got 'high'"),
        (["--protocol", "roi"], "a: protocol roi needs a region of interest; there is none"),
        (["--roi", black], f"{black}: a region of interest must be white somewhere"),
    ):
        ended = skt("evaluate", model, "--data", street, *options)
        assert message in refused(ended, ended.code)
