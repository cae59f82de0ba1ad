"""From a folder of images to a counted photograph, through the command line alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from command_line import skt
from PIL import Image
from skt_crowd.data import render_crowd
from skt_crowd.models import load_model

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


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture
def distill_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "distill.yaml"
    transfer = {"profile": "released", "intra": 0.01, "inter": 0.01}
    path.write_text(yaml.safe_dump(RECIPE | {"kind": "distill", "transfer": transfer}))
    return path


def test_a_teacher_a_student_and_a_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: Path, distill_recipe: Path
) -> None:
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    trained = skt(
        capsys, "train", recipe, "--output", teacher, "--set", "model.channel_preservation_rate=1/8"
    )
    assert trained.code == 0, trained.err
    assert "step 4/4" in trained.out

    distilled = skt(
        capsys, "distill", distill_recipe, "--teacher", teacher, "--output", student, "--steps", 3
    )
    assert distilled.code == 0, distilled.err
    report = (student / "report.md").read_text()
    for picture in ("losses", "counts", "maps", "features"):
        assert f"plots/{picture}.png" in report
        with Image.open(student / "plots" / f"{picture}.png") as drawn:
            assert min(drawn.size) > 200
    assert json.loads((student / "results.json").read_text())["steps"] == 3

    (student / "report.md").unlink()
    assert skt(capsys, "report", student).code == 0
    assert (student / "report.md").read_text() == report

    photograph = tmp_path / "square.png"
    Image.fromarray(render_crowd(1, (48, 64)).image).save(photograph)
    counted = skt(capsys, "count", photograph, "--model", student, "--output", tmp_path / "counted", "--json")
    assert counted.code == 0, counted.err
    printed = json.loads(counted.out)
    assert printed == json.loads((tmp_path / "counted/counts.json").read_text())
    assert printed["images"][0]["width"] == 64
    assert (tmp_path / "counted/square.jpg").is_file()

    options = ["--data-kind", "synthetic", "--data-option", "length=3"]
    judged = skt(capsys, "evaluate", student, *options, "--output", tmp_path / "judged")
    assert judged.code == 0, judged.err
    assert "on 3 of 3 images of synthetic test" in judged.out
    assert json.loads((tmp_path / "judged/results.json").read_text())["images"] == 3


def test_evaluating_the_held_out_part_gives_the_errors_of_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: Path
) -> None:
    run = tmp_path / "run"
    assert skt(capsys, "train", recipe, "--output", run).code == 0
    data = [f"--data-option={name}={value}" for name, value in RECIPE["data"]["options"].items()]  # type: ignore[index]
    held = ["--split", "train", "--held-out", "--held-out-fraction", 0.34, "--output", tmp_path / "judged"]
    assert skt(capsys, "evaluate", run, "--data-kind", "synthetic", *data, *held).code == 0
    results = json.loads((run / "results.json").read_text())
    judged = json.loads((tmp_path / "judged/results.json").read_text())
    assert judged["mae"] == pytest.approx(results["mae"])
    assert (tmp_path / "judged/predictions.csv").read_text() == (run / "predictions.csv").read_text()


def test_a_report_without_the_teacher_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: Path, distill_recipe: Path
) -> None:
    skt(capsys, "train", recipe, "--output", tmp_path / "teacher")
    skt(
        capsys, "distill", distill_recipe, "--teacher", tmp_path / "teacher", "--output", tmp_path / "student"
    )
    (tmp_path / "teacher/checkpoints/best.safetensors").unlink()
    assert skt(capsys, "report", tmp_path / "student").code == 0
    report = (tmp_path / "student/report.md").read_text()
    assert "*Not drawn: maps and features, because" in report
    assert "plots/losses.png" in report


def test_prepare_writes_a_map_for_each_image(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import h5py

    folder = tmp_path / "mine"
    folder.mkdir()
    sample = render_crowd(2, (48, 64), people=5)
    Image.fromarray(sample.image).save(folder / "a.png")
    (folder / "a.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in sample.points))
    ended = skt(capsys, "prepare", folder, "--split", ".", "--output", tmp_path / "maps", "--sigma", 2)
    assert ended.code == 0, ended.err
    assert "1 maps of 5 people" in ended.out
    with h5py.File(tmp_path / "maps/a.h5") as file:
        assert file["density"][:].sum() == pytest.approx(5.0, abs=1e-3)


def test_doctor_names_what_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    ended = skt(capsys, "doctor")
    assert ended.code == 0
    for word in ("Python", "torch", "cosine_distance", "processor", "faster"):
        assert word in ended.out


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_process_resumes_to_the_same_bits(tmp_path: Path, recipe: Path) -> None:
    more = ["--steps", "40", "--set", "training.checkpoint_every=5", "--set", "training.evaluate_every=8"]

    def command(output: str, *extra: str) -> list[str]:
        start = "from skt_crowd.cli import main; main()"
        return [sys.executable, "-c", start, "train", str(recipe), "--output", output, *more, *extra]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command(str(whole)), check=True, capture_output=True, env=environment)
    with subprocess.Popen(command(str(killed)), stdout=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            metrics = killed / "metrics.jsonl"
            # Past the second checkpoint, and some records beyond it.
            if metrics.is_file() and metrics.read_text().count('"train"') >= 7:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "results.json").exists()
    subprocess.run(command(str(killed), "--resume"), check=True, capture_output=True, env=environment)
    for name in ("best", "final"):
        first = load_model(whole / f"checkpoints/{name}.safetensors").state_dict()
        second = load_model(killed / f"checkpoints/{name}.safetensors").state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()
