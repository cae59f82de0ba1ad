"""``skt demo``, a few steps long: the table, the report and its figures, and the same again."""

import json
from pathlib import Path

import pytest

from skt_crowd.recipes import demonstration as demo
from skt_crowd.weights import load_model
from tests.cli.command_line import skt

TINY = [
    "model.channel_preservation_rate=1/64",
    "data.options={length: 4, height: 40, width: 40, people_max: 8}",
    "data.held_out_fraction=0.25",
    "data.crop=16",
    "training.steps=2",
    "training.batch_size=1",
]


def test_a_demonstration_ends_in_a_table_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TEST_IMAGES", 5)
    monkeypatch.setattr(demo, "SEEDS", (0,))
    monkeypatch.setenv("COLUMNS", "120")
    output = tmp_path / "runs" / "demo"  # neither is there, as in a fresh clone
    settings = [word for text in TINY for word in ("--set", text)]
    command = ("demo", "--output", output, "--threads", 1, "--resume", *settings)
    first = skt(*command)
    assert first.code == 0, first.err

    outcomes = json.loads((output / "results.json").read_text())["outcomes"]
    assert [outcome["name"] for outcome in outcomes] == ["teacher", *(v.name for v in demo.VARIANTS)]
    report = (output / "report.md").read_text()
    for outcome in outcomes:
        shown = [outcome["name"], f"{outcome['parameters']:,}"]
        shown += [f"{outcome[error][0]:.2f}" for error in ("mae", "rmse")]
        assert "| " + " | ".join(shown) + " |" in report
        assert all(cell in first.out for cell in shown)
    assert "on 5 images" in report
    for figure in ("maps", "features", "losses"):
        assert f"plots/{figure}.png" in report
        assert (output / "plots" / f"{figure}.png").stat().st_size > 10_000
    assert load_model(output / "student-none-seed0/checkpoints/best.safetensors").label == "1/64-csrnet"

    # Slow, and seen above.
    monkeypatch.setattr("skt_crowd.recipes.demonstration_report._draw", lambda *_: None)
    again = skt(*command)
    assert again.code == 0, again.err
    assert again.out.count("finished before") == 5
    assert (
        again.out[again.out.index("Errors in people") :] == first.out[first.out.index("Errors in people") :]
    )
    assert (output / "report.md").read_text() == report


def test_a_quick_look_compares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TEST_IMAGES", 5)
    output = tmp_path / "quick"
    settings = [word for text in TINY for word in ("--set", text)]
    ended = skt("demo", "--quick", "--output", output, "--threads", 1, *settings)
    assert ended.code == 0, ended.err
    outcomes = json.loads((output / "results.json").read_text())["outcomes"]
    assert [outcome["name"] for outcome in outcomes] == ["teacher", demo.DISTILLED.name]
    report = (output / "report.md").read_text()
    assert "skt demo` without `--quick` compares" in report
    assert demo.NO_TRANSFER.name not in report.lower()
    assert json.loads((output / "teacher/results.json").read_text())["steps"] == 1  # half of two
