"""CSRNet: the paper's sizes, every image size, precisions, memory formats."""

import math

import pytest
import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models import CSRNet, available_models, build_model
from skt_crowd.models.rate import parse_rate, rate_label, scaled_width

TABLE_2 = {"1": 16_263_489, "1/2": 4_067_489, "1/3": 1_812_326, "1/4": 1_017_681, "1/5": 647_489}


@pytest.fixture(scope="module")
def student() -> CSRNet:
    torch.manual_seed(0)
    return CSRNet("1/8").eval()


@pytest.mark.parametrize(("rate", "parameters"), TABLE_2.items())
def test_parameter_counts_are_those_of_table_2(rate: str, parameters: int) -> None:
    with torch.device("meta"):
        model = build_model("csrnet", rate)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_a_rate_as_a_number_and_as_a_fraction_is_the_same_model() -> None:
    assert CSRNet(0.25).channel_preservation_rate == CSRNet("1/4").channel_preservation_rate == 0.25


def test_convolutions_are_those_of_the_paper() -> None:
    """(width in, width out, kernel, dilation) of every convolution at rate 1, written out by hand."""
    with torch.device("meta"):
        model = CSRNet()
    found = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.dilation[0])
        for m in model.modules()
        if isinstance(m, nn.Conv2d)
    ]
    vgg = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    vgg += [(256, 512), (512, 512), (512, 512)]
    dilated = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    assert found == [(*w, 3, 1) for w in vgg] + [(*w, 3, 2) for w in dilated] + [(64, 1, 1, 1)]


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 9), (2, 2), (7, 8), (8, 8), (9, 17), (13, 1), (31, 37), (64, 40), (33, 65)],
)
def test_any_size_gives_ceil_of_an_eighth(student: CSRNet, height: int, width: int) -> None:
    output = student(torch.randn(2, 3, height, width))
    assert output.shape == (2, 1, math.ceil(height / 8), math.ceil(width / 8))
    assert output.isfinite().all()


def test_a_batch_equals_its_images_one_by_one(student: CSRNet) -> None:
    images = torch.randn(3, 3, 29, 43)
    singles = torch.cat([student(image[None]) for image in images])
    torch.testing.assert_close(student(images), singles, rtol=1e-4, atol=1e-6)


def test_an_empty_batch_gives_an_empty_batch(student: CSRNet) -> None:
    assert student(torch.zeros(0, 3, 16, 24)).shape == (0, 1, 2, 3)


def test_channels_last_gives_the_same_map(student: CSRNet) -> None:
    image = torch.randn(2, 3, 29, 43)
    last = student(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, student(image), rtol=1e-4, atol=1e-6)


def test_bfloat16_autocast_is_near_float32_and_its_map_is_float32(student: CSRNet) -> None:
    image = torch.randn(1, 3, 40, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = student(image)
    assert low.dtype == torch.float32
    assert low.isfinite().all()
    full = student(image)
    assert (low - full).norm() < 0.05 * full.norm()
    assert not torch.equal(low, full)  # the convolutions did run in bfloat16


def test_float64_stays_float64() -> None:
    assert CSRNet("1/16").double()(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_pixels_beyond_the_receptive_field_do_not_matter() -> None:
    """The field is 284 pixels wide: a change more than 144 pixels from a cell does not reach it."""
    torch.manual_seed(0)
    model = CSRNet("1/16").double().eval()
    image = torch.randn(1, 3, 8, 320, dtype=torch.float64)
    changed = image.clone()
    changed[..., 160:] += 1.0
    difference = (model(changed) - model(image)).abs()[0, 0, 0]  # (40,)
    assert difference[: (160 - 144) // 8].max() == 0.0
    assert difference[(160 - 144) // 8 :].min() > 0.0


def test_every_parameter_gets_a_gradient() -> None:
    model = CSRNet("1/8")
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_fresh_model_starts_near_an_empty_map_and_keeps_its_signal() -> None:
    """Activations neither die nor explode in sixteen layers; first maps are not tens of people per cell."""
    torch.manual_seed(0)
    model = CSRNet("1/4")
    image = torch.randn(1, 3, 64, 64)
    middle = model.frontend(image)
    last = model.backend(middle)
    assert 0.05 < middle.std() < 20
    assert 0.01 < last.std() < 20
    assert model(image).abs().max() < 2


def test_a_tiny_model_learns_one_image() -> None:
    torch.manual_seed(0)
    model, image = CSRNet("1/16"), torch.randn(1, 3, 32, 32)
    target = torch.rand(1, 1, 4, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = (model(image) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_same_seed_gives_the_same_weights() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(CSRNet("1/16"))
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("profile", "channels"),
    [("paper", (16, 32, 64, 128, 128, 64)), ("released", (16, 16, 32, 64, 128, 64))],
)
def test_tap_channels_at_one_quarter(profile: str, channels: tuple[int, ...]) -> None:
    assert CSRNet("1/4").tap_channels(profile) == channels


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^profile: expected one of paper, released, got 'papper'$"):
        CSRNet("1/16").tap_paths("papper")


def test_labels() -> None:
    with torch.device("meta"):
        assert [CSRNet(rate).label for rate in (1, "1/3", 0.3)] == ["csrnet", "1/3-csrnet", "3/10-csrnet"]


def test_registry() -> None:
    assert "csrnet" in available_models()
    with pytest.raises(
        UsageError, match=r"^model: expected one of bl, can, csrnet, dssinet, mcnn, sanet, got 'CSRNet'$"
    ):
        build_model("CSRNet")


@pytest.mark.parametrize(
    ("given", "value"), [("1/4", 0.25), (" 1/3 ", 1 / 3), ("0.2", 0.2), (1, 1.0), (0.5, 0.5), ("1", 1.0)]
)
def test_rates_people_type(given: float | str, value: float) -> None:
    assert parse_rate(given) == value


@pytest.mark.parametrize(
    "given", ["a quarter", "", "1/0", "1/", "1e400", True, None, [0.5], float("nan"), float("inf")]
)
def test_rates_that_are_no_numbers(given: object) -> None:
    with pytest.raises(UsageError, match=r"^channel_preservation_rate: expected "):
        parse_rate(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [0, "0", -0.25, 1.01, "5/4"])
def test_rates_out_of_range(given: float | str) -> None:
    message = f"channel_preservation_rate: expected more than 0 and at most 1, got {given!r}"
    with pytest.raises(UsageError) as error:
        parse_rate(given)
    assert str(error.value) == message


def test_rate_labels_and_widths() -> None:
    assert [rate_label(1 / n) for n in (1, 2, 3, 7)] == ["1", "1/2", "1/3", "1/7"]
    assert rate_label(0.1234567) == "0.1234567"
    assert [scaled_width(64, 1 / 5), scaled_width(64, 0.001)] == [13, 1]
