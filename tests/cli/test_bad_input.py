"""Everything that can be wrong with what a person gives: one line that names it, and the right exit code."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml
from PIL import Image

from skt_crowd.models import build_model
from skt_crowd.weights import save_model
from tests.cli.command_line import refused, skt


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, build_model("csrnet", "1/16"))
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "square.png"
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(path)
    return path


def folder(tmp_path: Path, points: str) -> Path:
    """A folder of one's own images with a CSV of points."""
    root = tmp_path / "mine"
    root.mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / "a.png")
    (root / "a.csv").write_text(points)
    return root


def test_a_missing_image(tmp_path: Path, model: Path) -> None:
    message = refused(skt("count", tmp_path / "no.jpg", "--model", model), 1)
    assert str(tmp_path / "no.jpg") in message


def test_a_truncated_image(tmp_path: Path, model: Path, image: Path) -> None:
    cut = tmp_path / "cut.jpg"
    Image.open(image).save(cut)
    cut.write_bytes(cut.read_bytes()[:300])
    assert str(cut) in refused(skt("count", cut, "--model", model), 1)


def test_an_image_of_one_pixel_is_counted(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "dot.png"
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(path)
    assert skt("count", path, "--model", model, "--output", tmp_path / "out").code == 0


def test_a_missing_checkpoint(tmp_path: Path, image: Path) -> None:
    message = refused(skt("count", image, "--model", tmp_path / "no.safetensors"), 1)
    assert "no.safetensors: cannot be read: No such file or directory" in message


def test_a_truncated_checkpoint(model: Path, image: Path) -> None:
    model.write_bytes(model.read_bytes()[:500])
    assert str(model) in refused(skt("count", image, "--model", model), 1)


def test_a_checkpoint_of_another_architecture(tmp_path: Path, image: Path) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": zeros(3, 3)}, path)
    assert f"{path}: not the weights of a known model" in refused(skt("count", image, "--model", path), 1)


def test_a_folder_that_is_no_run(tmp_path: Path, image: Path) -> None:
    assert "not a run folder" in refused(skt("count", image, "--model", tmp_path), 2)
    assert "not a run folder" in refused(skt("report", tmp_path), 2)


def test_an_output_that_exists(tmp_path: Path, model: Path, image: Path) -> None:
    commands = (
        ("count", image, "--model", model),
        ("train", "demo_teacher"),
        ("demo",),
        ("evaluate", model, "--data-kind", "synthetic"),
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    for command in commands:
        message = refused(skt(*command, "--output", tmp_path), 2)
        assert message.startswith(f"{tmp_path}: "), message
        assert "exists and is not" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_points_with_text_in_them(tmp_path: Path, model: Path) -> None:
    root = folder(tmp_path, "x,y\n3,4\nfive,6\n")
    message = refused(skt("evaluate", model, "--data", root), 1)
    assert str(root / "a.csv") in message
    assert "five" in message


def test_points_that_are_not_numbers(tmp_path: Path, model: Path) -> None:
    root = folder(tmp_path, "x,y\n3,nan\n")
    assert str(root / "a.csv") in refused(skt("evaluate", model, "--data", root), 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mat_file_of_another_layout_stops_training(tmp_path: Path, workers: int) -> None:
    root = tmp_path / "part_A" / "train_data"
    (root / "images").mkdir(parents=True)
    (root / "ground_truth").mkdir()
    for number in (1, 2):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / f"images/IMG_{number}.jpg")
        scipy.io.savemat(root / f"ground_truth/GT_IMG_{number}.mat", {"dots": np.zeros((2, 2))})
    small = [
        "--set",
        "data.crop=32",
        "--set",
        "training.batch_size=1",
        "--set",
        f"training.workers={workers}",
    ]
    output = ["--output", tmp_path / "run"]
    ended = skt(
        "train", "csrnet_part_a_student", "--data", tmp_path / "part_A", "--steps", 1, *output, *small
    )
    message = refused(ended, 1)
    assert "GT_IMG_" in message
    assert "Traceback" not in message


def test_recipes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        yaml.safe_dump({"kind": "train", "data": {"kind": "synthetic"}, "training": {"stepz": 1}})
    )
    message = refused(skt("train", path, "--output", tmp_path / "run"), 2)
    assert message == f"{path}: training.stepz: unknown key; did you mean training.steps? (and 1 more)"
    assert "no such recipe file" in refused(skt("train", "nothing", "--output", tmp_path / "run"), 2)
    message = refused(skt("train", "demo_student", "--output", tmp_path / "run"), 2)
    assert message.startswith("demo_student: kind: distill needs teacher.checkpoint")
    message = refused(
        skt("train", "demo_student", "--set", "teacher.checkpoint=t", "--output", tmp_path / "r"), 2
    )
    assert message == "demo_student: a recipe of kind distill; use skt distill"
    assert not (tmp_path / "run").exists()


def test_data(tmp_path: Path, model: Path) -> None:
    message = refused(skt("train", "csrnet_part_a_student", "--output", tmp_path / "run"), 2)
    assert "needs its folder" in message
    gone = tmp_path / "gone"
    ended = skt("train", "csrnet_part_a_student", "--data", gone, "--output", tmp_path / "run")
    assert str(gone) in refused(ended, ended.code)
    assert ended.code in (1, 2)
    message = refused(skt("evaluate", model, "--data-kind", "synthetic", "--data-option", "part"), 2)
    assert message == "--data-option part: expected NAME=VALUE, for example part=B"
    message = refused(skt("evaluate", model, "--data-kind", "cityscapes"), 2)
    assert "expected one of" in message


def test_an_interrupt_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skt_crowd.training.loop import TrainingLoop

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "_step", interrupt)
    small = ["--set", "data.options.length=4", "--threads", 1]
    ended = skt("train", "demo_teacher", "--output", tmp_path / "run", *small)
    assert ended.code == 130
    assert "--resume goes on" in ended.out
    assert "Traceback" not in ended.err
