"""From a folder of images to a counted photograph, through the command line alone."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from skt_crowd.data import render_crowd
from skt_crowd.recipes import load_recipe
from skt_crowd.recipes.run import run_recipe
from skt_crowd.weights import load_model
from tests.cli.command_line import Ended, skt

RECIPE = {
    "kind": "train",
    "model": {"channel_preservation_rate": "1/16"},
    "data": {
        "kind": "synthetic",
        "options": {"length": 6, "height": 48, "width": 56},
        "held_out_fraction": 0.34,
        "crop": 32,
        "sigma": {"kind": "fixed", "value": 2.0},
    },
    "optimizer": {"learning_rate": 1e-3},
    "training": {"steps": 4, "batch_size": 2, "threads": 1, "precision": "float32", "log_every": 2},
}


DISTILLATION = RECIPE | {
    "kind": "distill",
    "transfer": {"profile": "released", "intra": 0.01, "inter": 0.01},
}


class Runs(NamedTuple):
    """A teacher and a student of it, made by commands once for all tests, which leave them as they are."""

    recipe: Path
    teacher: Path
    student: Path
    trained: Ended
    distilled: Ended


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    for name, content in (("train", RECIPE), ("distill", DISTILLATION)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    teacher, student = folder / "teacher", folder / "student"
    wide = ["--set", "model.channel_preservation_rate=1/8"]
    trained = skt("train", folder / "train.yaml", "--output", teacher, *wide)
    short = ["--output", student, "--steps", 3]
    distilled = skt("distill", folder / "distill.yaml", "--teacher", teacher, *short)
    return Runs(folder / "train.yaml", teacher, student, trained, distilled)


def test_a_teacher_is_trained(runs: Runs) -> None:
    assert runs.trained.code == 0, runs.trained.err
    assert "step 4/4" in runs.trained.out
    assert str(runs.teacher / "report.md") in runs.trained.out


def test_a_student_is_distilled_with_figures(runs: Runs, tmp_path: Path) -> None:
    assert runs.distilled.code == 0, runs.distilled.err
    assert json.loads((runs.student / "results.json").read_text())["steps"] == 3
    report = (runs.student / "report.md").read_text()
    for figure in ("losses", "counts", "maps", "features"):
        assert f"plots/{figure}.png" in report
        with Image.open(runs.student / "plots" / f"{figure}.png") as drawn:
            assert min(drawn.size) > 200
    again = tmp_path / "student"
    shutil.copytree(runs.student, again)
    (again / "report.md").unlink()
    assert skt("report", again).code == 0
    assert (again / "report.md").read_text() == report


def test_a_photograph_is_counted(runs: Runs, tmp_path: Path) -> None:
    photograph = tmp_path / "square.png"
    Image.fromarray(render_crowd(1, (48, 64)).image).save(photograph)
    counted = skt("count", photograph, "--model", runs.student, "--output", tmp_path / "counted", "--json")
    assert counted.code == 0, counted.err
    printed = json.loads(counted.out)
    assert printed == json.loads((tmp_path / "counted/counts.json").read_text())
    assert printed["images"][0]["width"] == 64
    assert (tmp_path / "counted/square.jpg").is_file()


def test_a_student_is_evaluated_on_the_test_split(runs: Runs, tmp_path: Path) -> None:
    options = ["--data-kind", "synthetic", "--data-option", "length=3"]
    evaluated = skt("evaluate", runs.student, *options, "--output", tmp_path / "evaluated")
    assert evaluated.code == 0, evaluated.err
    assert "on 3 of 3 images of synthetic test" in evaluated.out
    assert json.loads((tmp_path / "evaluated/results.json").read_text())["images"] == 3


def test_evaluating_the_held_out_part_gives_the_errors_of_the_run(runs: Runs, tmp_path: Path) -> None:
    data = [f"--data-option={name}={value}" for name, value in RECIPE["data"]["options"].items()]  # type: ignore[index]
    held = ["--split", "train", "--held-out", "--held-out-fraction", 0.34, "--output", tmp_path / "evaluated"]
    assert skt("evaluate", runs.teacher, "--data-kind", "synthetic", *data, *held).code == 0
    results = json.loads((runs.teacher / "results.json").read_text())
    evaluated = json.loads((tmp_path / "evaluated/results.json").read_text())
    assert evaluated["mae"] == pytest.approx(results["mae"])
    predictions = (runs.teacher / "predictions.csv").read_text()
    assert (tmp_path / "evaluated/predictions.csv").read_text() == predictions


def test_a_report_without_the_teacher_says_so(runs: Runs, tmp_path: Path) -> None:
    student = tmp_path / "student"
    shutil.copytree(runs.student, student)
    recipe = yaml.safe_load((student / "recipe.yaml").read_text())
    recipe["teacher"]["checkpoint"] = str(tmp_path / "gone.safetensors")
    (student / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert skt("report", student).code == 0
    report = (student / "report.md").read_text()
    assert "*Not drawn: maps and features, because" in report
    assert "gone.safetensors" in report
    assert "plots/losses.png" in report


def test_prepare_writes_a_map_for_each_image(tmp_path: Path) -> None:
    import h5py

    folder = tmp_path / "mine"
    folder.mkdir()
    sample = render_crowd(2, (48, 64), people=5)
    Image.fromarray(sample.image).save(folder / "a.png")
    (folder / "a.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in sample.points))
    ended = skt("prepare", folder, "--output", tmp_path / "maps", "--sigma", 2)
    assert ended.code == 0, ended.err
    assert "1 maps of 5 people" in ended.out
    with h5py.File(tmp_path / "maps/a.h5") as file:
        assert file["density"][:].sum() == pytest.approx(5.0, abs=1e-3)


def test_doctor_names_what_is_used() -> None:
    ended = skt("doctor")
    assert ended.code == 0
    for word in ("Python", "torch", "cosine_loss", "processor", "faster"):
        assert word in ended.out


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_process_resumes_to_the_same_bits(runs: Runs, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = ["training.steps=40", "training.checkpoint_every=5", "training.evaluate_every=8"]
    run_recipe(load_recipe(runs.recipe, settings), whole, console=Console(quiet=True))

    command = ["train", str(runs.recipe), "--output", str(killed)]
    command += [word for text in settings for word in ("--set", text)]
    with subprocess.Popen(
        [sys.executable, "-m", "skt_crowd", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        metrics = killed / "metrics.jsonl"
        deadline = time.monotonic() + 120
        # Until it is past the second checkpoint, with a record beyond it.
        while time.monotonic() < deadline and process.poll() is None:
            if metrics.is_file() and metrics.read_text().count('"train"') >= 7:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "results.json").exists()

    resumed = skt(*command, "--resume")
    assert resumed.code == 0, resumed.err
    for name in ("best", "final"):
        first = load_model(whole / f"checkpoints/{name}.safetensors").state_dict()
        second = load_model(killed / f"checkpoints/{name}.safetensors").state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()
