"""Evaluation against points: numbers worked out by hand, modes restored, any image size."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skt_crowd.data import CrowdSample, read_image
from skt_crowd.errors import SktError, UsageError
from skt_crowd.evaluation import ImageResult, evaluate
from skt_crowd.geometry import Box
from skt_crowd.inference import MapPart, Prediction, predict
from skt_crowd.models import CSRNet
from skt_crowd.weights import load_model
from tests.support.shared_data import shared_path


class Constant(nn.Module):
    """A fake model: every pixel holds ``value`` people; remembers how it was called."""

    output_stride = 1

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.frozen = nn.BatchNorm2d(1).eval()
        self.was_training: list[bool] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.was_training.append(self.training or self.frozen.training)
        return self.value.expand(len(image), 1, *image.shape[2:])


class Crowds:
    """Images of given sizes with given numbers of points."""

    kind = "fake"

    def __init__(self, sizes: Sequence[tuple[int, int]], people: Sequence[int]) -> None:
        self.sizes, self.people = sizes, people
        self.names = [f"crowd_{i}" for i in range(len(sizes))]

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int, /) -> CrowdSample:
        height, width = self.sizes[index]
        image = np.zeros((height, width, 3), np.uint8)
        return CrowdSample(self.names[index], image, np.zeros((self.people[index], 2)), outside=5)

    def image_path(self, index: int, /) -> Path | None:
        return None


CROWDS = Crowds([(2, 3), (4, 5), (1, 1), (10, 10)], [5, 24, 0, 999])


def test_numbers_worked_out_by_hand() -> None:
    """One person a pixel: 6 against 5, 20 against 24, 1 against 0; the fourth image is not asked for."""
    evaluation = evaluate(Constant(1.0), CROWDS, [0, 1, 2])
    compared = [replace(image, game=()) for image in evaluation.images]
    assert compared == [
        ImageResult("crowd_0", 6.0, 5, 2, 3),
        ImageResult("crowd_1", 20.0, 24, 4, 5),
        ImageResult("crowd_2", 1.0, 0, 1, 1),
    ]
    # All points are at (0, 0), in the first quarter of 2 x 2.5 pixels: |5 - 24| there and 5 in three others.
    assert evaluation.images[1].game[:2] == pytest.approx((4.0, 19 + 15))
    assert [image.error for image in evaluation.images] == [1.0, -4.0, 1.0]
    assert evaluation.mae == pytest.approx(2.0)  # (1 + 4 + 1) / 3
    assert evaluation.rmse == pytest.approx(6**0.5)  # sqrt((1 + 16 + 1) / 3)
    assert evaluation.nae == pytest.approx((1 / 5 + 4 / 24) / 2)  # the empty image has no share


def test_indices_choose_and_order_images_and_progress_is_told_one_by_one() -> None:
    seen: list[ImageResult] = []
    evaluation = evaluate(Constant(1.0), CROWDS, [3, 0], on_image=seen.append)
    assert [image.name for image in seen] == ["crowd_3", "crowd_0"]
    assert tuple(seen) == evaluation.images


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_restored_module_by_module(training: bool) -> None:
    model = Constant(1.0).train(training)
    model.frozen.eval()
    evaluate(model, CROWDS, [0, 1])
    assert model.was_training == [False, False]
    assert (model.training, model.frozen.training) == (training, False)


def test_modes_are_restored_after_a_failure() -> None:
    model = CSRNet("1/16").train()
    model.output_layer.weight.data = torch.zeros(1, 1, 1, 1)  # does not fit what comes
    with pytest.raises(RuntimeError):
        evaluate(model, CROWDS, [0])
    assert all(module.training for module in model.modules())


def test_evaluation_leaves_no_gradient_history() -> None:
    model = Constant(1.0)
    evaluate(model, CROWDS, [0])
    assert model.value.grad is None


def test_a_diverged_model_is_reported_with_the_image() -> None:
    with pytest.raises(SktError) as error:
        evaluate(Constant(float("nan")), CROWDS, [1])
    assert str(error.value) == "crowd_1: the model's density map is not finite; its training has diverged"


def test_nothing_to_evaluate() -> None:
    with pytest.raises(UsageError, match=r"^counts: expected at least one image, got none$"):
        evaluate(Constant(1.0), CROWDS, [])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (7, 9), (16, 8), (33, 31)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_predict_takes_any_size_in_any_precision(height: int, width: int, precision: str) -> None:
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    density = predict(CSRNet("1/16"), image, precision=precision)
    assert density.shape == (-(-height // 8), -(-width // 8))
    assert density.dtype == np.float32
    assert np.isfinite(density).all()


def test_predict_is_the_model_on_the_normalised_image() -> None:
    torch.manual_seed(0)
    model = CSRNet("1/16").eval()
    image = np.random.default_rng(0).integers(0, 256, (24, 17, 3), dtype=np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = torch.tensor((image / 255 - mean) / deviation, dtype=torch.float32).permute(2, 0, 1)
    with torch.no_grad():
        expected = model(normalised[None])[0, 0].numpy()
    np.testing.assert_allclose(predict(model, image), expected, rtol=1e-4, atol=1e-6)


def test_counts_are_summed_in_float64() -> None:
    """In float32, adding 1e-8 to 1 changes nothing, however often."""
    density = np.full((1000, 1000), 1e-8, np.float32)
    density[0, 0] = 1.0
    whole = MapPart(density, Box(0, 0, 8000, 8000), (8, 8))
    assert Prediction(8000, 8000, (whole,)).count == pytest.approx(1.00999999, abs=1e-7)


def test_the_shared_teacher_counts_a_photograph() -> None:
    """IMG_135 of Part A, 420x182, has 354 annotated people and was in the teacher's training set."""
    teacher = load_model(shared_path("weights", "csrnet_part_a_teacher.safetensors"))
    image = read_image(shared_path("data/shanghaitech/part_A/train_data/images/IMG_135.jpg"))
    density = predict(teacher, image)
    assert density.shape == (23, 53)
    assert 300 < density.sum() < 410
