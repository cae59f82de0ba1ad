"""What every model promises: its size, any image, precisions, taps, files, learning, transfer, a photograph."""

import math
from pathlib import Path

import pytest
import torch

from skt_crowd.data import normalize_image, read_image
from skt_crowd.errors import UsageError
from skt_crowd.models import CrowdModel, FeatureTaps, available_models, build_model
from skt_crowd.weights import initialize_from_vgg, load_model, save_model
from skt_ext.losses import StructuredKnowledgeTransfer
from tests.support.shared_data import shared_path

MODELS = ("bl", "can", "csrnet", "dssinet", "mcnn", "sanet")
NARROW = {"mcnn": "1/2"}  # its columns are narrow as they are
STRIDES = {"bl": 8, "can": 8, "csrnet": 8, "dssinet": 1, "mcnn": 4, "sanet": 1}
every_model = pytest.mark.parametrize("name", MODELS)


def narrow(name: str, seed: int = 0) -> CrowdModel:
    """A thin model: what is tested does not depend on the width."""
    torch.manual_seed(seed)
    return build_model(name, NARROW.get(name, "1/16"))


def test_the_list() -> None:
    assert available_models() == MODELS


# Tables 2 and 8 of the paper; for MCNN the numbers in the published file.
@pytest.mark.parametrize(
    ("name", "rate", "parameters"),
    [
        ("bl", 1, 21_499_457),
        ("can", 1, 18_103_489),
        ("csrnet", 1, 16_263_489),
        ("dssinet", 1, 8_857_788),
        ("mcnn", 1, 127_953),
        ("sanet", 1, 910_641),
        ("bl", "1/4", 1_345_169),
        ("csrnet", "1/4", 1_017_681),
        ("sanet", "1/4", 57_885),
    ],
)
def test_parameter_counts(name: str, rate: float | str, parameters: int) -> None:
    with torch.device("meta"):
        model = build_model(name, rate)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@every_model
@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 9), (2, 2), (7, 8), (8, 8), (9, 17), (13, 1), (31, 37), (64, 40), (33, 65)],
)
def test_any_size_gives_the_promised_size(name: str, height: int, width: int) -> None:
    model = narrow(name).eval()
    stride = STRIDES[name]
    assert model.output_stride == stride
    output = model(torch.randn(2, 3, height, width))
    assert output.shape == (2, 1, math.ceil(height / stride), math.ceil(width / stride))
    assert output.isfinite().all()


@every_model
def test_a_batch_equals_its_images_one_by_one(name: str) -> None:
    model, images = narrow(name).double().eval(), torch.randn(3, 3, 29, 43, dtype=torch.float64)
    singles = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), singles, rtol=1e-9, atol=1e-12)


@every_model
def test_channels_last_gives_the_same_map(name: str) -> None:
    model, image = narrow(name).double().eval(), torch.randn(2, 3, 29, 43, dtype=torch.float64)
    last = model(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, model(image), rtol=1e-9, atol=1e-12)


@every_model
def test_the_same_image_gives_the_same_map_to_the_last_bit(name: str) -> None:
    model, image = narrow(name).double().eval(), torch.randn(1, 3, 40, 56, dtype=torch.float64)
    first = model(image)
    assert first.dtype == torch.float64
    assert torch.equal(first, model(image))
    again = narrow(name).double().eval()
    assert torch.equal(first, again(image))  # and so does the same seed


@every_model
def test_bfloat16_autocast_is_near_float32_and_its_map_is_float32(name: str) -> None:
    model, image = narrow(name).eval(), torch.randn(1, 3, 40, 56)
    full = model(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(image)
    assert low.dtype == torch.float32
    assert (low - full).norm() < 0.1 * full.norm()
    assert not torch.equal(low, full)  # the convolutions did run in bfloat16


@every_model
def test_no_model_needs_a_device_to_tell_its_sizes(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, "1/16").eval()
        assert model(torch.zeros(1, 3, 64, 48)).shape[2:] == (64 // STRIDES[name], 48 // STRIDES[name])


# Taps

DEEP = [(5, 7)] * 3
TAP_SIZES = {  # at 37 x 50 pixels
    ("bl", "paper"): [(37, 50), (19, 25), (10, 13), (5, 7), (5, 7), (3, 4)],
    ("bl", "released"): [(37, 50), (19, 25), (10, 13), (5, 7), (5, 7), (3, 4)],
    ("can", "paper"): [(37, 50), (19, 25), (10, 13), *DEEP],
    ("can", "released"): [(37, 50), (19, 25), (10, 13), *DEEP],
    ("csrnet", "paper"): [(37, 50), (19, 25), (10, 13), *DEEP],
    ("csrnet", "released"): [(37, 50), (19, 25), (10, 13), *DEEP],
    ("dssinet", "paper"): [(37, 50), (19, 25), (10, 13), (5, 7), (3, 4)],
    ("mcnn", "paper"): [(36, 48)] * 3 + [(9, 12)] * 3,
    ("sanet", "paper"): [(37, 50), (19, 25), (10, 13), (5, 7)],
}
TAP_CHANNELS = {  # at rate 1/4
    ("bl", "paper"): (16, 32, 64, 128, 64, 128),
    ("bl", "released"): (16, 16, 32, 64, 64, 128),
    ("can", "paper"): (16, 32, 64, 128, 128, 64),
    ("can", "released"): (16, 16, 32, 64, 128, 64),
    ("csrnet", "paper"): (16, 32, 64, 128, 128, 64),
    ("csrnet", "released"): (16, 16, 32, 64, 128, 64),
    ("dssinet", "paper"): (32,) * 5,
    ("mcnn", "paper"): (4, 5, 6, 2, 2, 3),
    ("sanet", "paper"): (16, 32, 32, 16),
}


@pytest.mark.parametrize(("name", "profile"), TAP_SIZES)
def test_tapped_features_have_the_expected_channels_and_sizes(name: str, profile: str) -> None:
    model = build_model(name, "1/4").eval()
    with FeatureTaps(model, model.tap_paths(profile)) as taps, torch.no_grad():
        model(torch.randn(1, 3, 37, 50))
    assert tuple(feature.shape[1] for feature in taps.features) == TAP_CHANNELS[name, profile]
    assert model.tap_channels(profile) == TAP_CHANNELS[name, profile]
    assert [tuple(feature.shape[2:]) for feature in taps.features] == TAP_SIZES[name, profile]
    assert all(feature.min() >= 0 for feature in taps.features)  # after the ReLU


@pytest.mark.parametrize("name", ["dssinet", "mcnn", "sanet"])
def test_models_without_pooled_taps_give_the_same_features_in_both_profiles(name: str) -> None:
    model = narrow(name)
    assert model.taps("paper") == model.taps("released")


@every_model
def test_an_unknown_profile_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^profile: expected one of paper, released, got 'both'$"):
        narrow(name).taps("both")


# Files


@every_model
def test_a_saved_model_comes_back(tmp_path: Path, name: str) -> None:
    model = narrow(name)
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.label == model.label
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.state_dict().items())


# Learning

UNUSED = {
    "dssinet": {"frontend.8.weight", "frontend.15.weight"}
}  # refined features replace these activations


@every_model
def test_every_used_parameter_gets_a_gradient(name: str) -> None:
    model = narrow(name)
    model(torch.randn(2, 3, 48, 48)).square().sum().backward()
    without = {key for key, parameter in model.named_parameters() if parameter.grad is None}
    assert without == UNUSED.get(name, set())


@every_model
def test_a_few_steps_bring_the_map_nearer_to_its_target(name: str) -> None:
    model = narrow(name)
    torch.manual_seed(1)
    image = torch.randn(2, 3, 32, 48)
    target = torch.rand_like(model(image)) * 0.1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = (model(image) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses


@every_model
@pytest.mark.parametrize("profile", ["paper", "released"])
def test_one_step_of_structured_knowledge_transfer(name: str, profile: str) -> None:
    """A step down the gradient lowers the loss that it is the gradient of."""
    torch.manual_seed(0)
    teacher, student = build_model(name, "1/4").eval(), build_model(name, "1/8").eval()
    transfer = StructuredKnowledgeTransfer(
        student.tap_channels(profile), teacher.tap_channels(profile), profile=profile
    )
    image = torch.randn(2, 3, 32, 48)
    with torch.no_grad(), FeatureTaps(teacher, teacher.tap_paths(profile)) as of_teacher:
        soft = teacher(image)
    parameters = [*student.parameters(), *transfer.parameters()]

    def total() -> torch.Tensor:
        with FeatureTaps(student, student.tap_paths(profile)) as of_student:
            predicted = student(image)
        return transfer(
            of_student.features, of_teacher.features, predicted, soft, torch.zeros_like(soft)
        ).total

    before = total()
    before.backward()
    assert {path for path, parameter in student.named_parameters() if parameter.grad is None} == UNUSED.get(
        name, set()
    )
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    length = sum(gradient.square().sum() for gradient in gradients) ** 0.5
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 1e-3 / length * gradient
    assert total() < before


# A real image: a photograph of 359 x 478 pixels with 49 people


def photograph() -> torch.Tensor:
    path = shared_path("data", "shanghaitech", "part_A", "train_data", "images", "IMG_272.jpg")
    return normalize_image(read_image(path))[None]


@every_model
def test_a_photograph_gets_a_map(name: str) -> None:
    with torch.inference_mode():
        density = narrow(name).eval()(photograph())
    assert density.shape[2:] == (math.ceil(478 / STRIDES[name]), math.ceil(359 / STRIDES[name]))
    assert density.isfinite().all()


def test_the_published_mcnn_counts_the_photograph() -> None:
    model, image = load_model(shared_path("weights", "mcnn_shtechA_660.h5")), photograph()
    with torch.inference_mode():
        assert model(image).sum().item() == pytest.approx(49, abs=10)


def test_mcnn_has_no_vgg() -> None:
    with pytest.raises(UsageError, match=r"^ImageNet initialisation: mcnn does not start with a VGG$"):
        initialize_from_vgg(build_model("mcnn"), "never-read.pth")
