"""Counting image files: any size, gray and rotated ones; JSON for the next program."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from skt_crowd.data import read_image
from skt_crowd.errors import SktError
from skt_crowd.inference import CountResult, count_image, counts_as_json, write_counts
from skt_crowd.models import CSRNet
from skt_crowd.weights import load_model
from tests.support.shared_data import shared_path


@pytest.fixture(scope="module")
def model() -> CSRNet:
    torch.manual_seed(0)
    return CSRNet("1/16")


def result(path: str = "a.jpg", count: float = 3.2) -> CountResult:
    return CountResult(Path(path), count, 17, 30, 0.25, np.full((3, 4), 0.1, np.float32), 8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (17, 30), (64, 48)])
def test_any_size(tmp_path: Path, model: CSRNet, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    counted = count_image(model, tmp_path / "a.png")
    assert (counted.height, counted.width, counted.stride) == (height, width, 8)
    assert counted.density.shape == (-(-height // 8), -(-width // 8))
    assert counted.count == pytest.approx(float(counted.density.sum()), rel=1e-5)
    assert counted.seconds > 0
    assert model.training  # as it was


def test_a_gray_file_counts_like_its_three_equal_channels(tmp_path: Path, model: CSRNet) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(np.stack([gray] * 3, axis=-1)).save(tmp_path / "rgb.png")
    assert count_image(model, tmp_path / "gray.png").count == count_image(model, tmp_path / "rgb.png").count


def test_a_rotated_photograph_is_counted_upright(tmp_path: Path, model: CSRNet) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.new("RGB", (40, 16)).save(tmp_path / "a.jpg", exif=exif)
    counted = count_image(model, tmp_path / "a.jpg")
    assert (counted.height, counted.width) == (40, 16)


def test_a_file_that_is_no_image_is_named(tmp_path: Path, model: CSRNet) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    with pytest.raises(SktError, match=r"notes\.jpg"):
        count_image(model, tmp_path / "notes.jpg")


def test_a_model_that_gives_no_number_is_an_error(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    model = CSRNet("1/16")
    torch.nn.init.constant_(model.output_layer.bias, float("nan"))
    with pytest.raises(SktError, match=r"a\.png: the model's density map is not finite"):
        count_image(model, tmp_path / "a.png")


@pytest.mark.parametrize(("count", "people"), [(-0.4, 0), (-3.0, 0), (0.5, 0), (1.5, 2), (353.7, 354)])
def test_people_are_whole_and_never_negative(count: float, people: int) -> None:
    assert result(count=count).people == people


def test_json(tmp_path: Path) -> None:
    write_counts(
        tmp_path / "new" / "counts.json", [result("ä.jpg"), result("b.jpg", -0.04)], {"model": "csrnet"}
    )
    content = (tmp_path / "new" / "counts.json").read_text(encoding="utf-8")
    assert "ä.jpg" in content
    assert json.loads(content) == {
        "model": "csrnet",
        "images": [
            {
                "path": "ä.jpg",
                "count": 3.2,
                "people": 3,
                "height": 17,
                "width": 30,
                "passes": 1,
                "precision": "float32",
                "seconds": 0.25,
            },
            {
                "path": "b.jpg",
                "count": -0.04,
                "people": 0,
                "height": 17,
                "width": 30,
                "passes": 1,
                "precision": "float32",
                "seconds": 0.25,
            },
        ],
    }


def test_json_of_no_images() -> None:
    assert json.loads(counts_as_json([])) == {"images": []}


def test_the_shared_teacher_counts_a_file() -> None:
    """IMG_240 of Part A, 464x183, has 243 annotated people and was in the teacher's training set."""
    teacher = load_model(shared_path("weights", "csrnet_part_a_teacher.safetensors"))
    path = shared_path("data/shanghaitech/part_A/train_data/images/IMG_240.jpg")
    counted = count_image(teacher, path)
    assert 200 < counted.people < 290
    assert (counted.height, counted.width, 3) == read_image(path).shape
