"""ImageNet initialisation from files; what does not fit is refused and changes nothing."""

import builtins
from pathlib import Path

import pytest
import safetensors.torch
import torch

from skt_crowd.errors import SktError, UsageError
from skt_crowd.models import BL, CAN, MCNN, CrowdModel, CSRNet, DSSINet, SANet
from skt_crowd.weights import initialize_from_vgg
from skt_crowd.weights.imagenet import VGG16_FEATURE_SCALE
from tests.support.shared_data import shared_path


def vgg16_weights() -> dict[str, torch.Tensor]:
    """Torchvision's names and shapes with random numbers: ten convolutions, later ones and a classifier."""
    shapes = {
        0: (64, 3),
        2: (64, 64),
        5: (128, 64),
        7: (128, 128),
        10: (256, 128),
        12: (256, 256),
        14: (256, 256),
    }
    shapes |= {17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512)}
    weights = {}
    for index, (out, channels) in shapes.items():
        weights[f"features.{index}.weight"] = torch.randn(out, channels, 3, 3)
        weights[f"features.{index}.bias"] = torch.randn(out)
    return weights | {"classifier.0.bias": torch.zeros(3)}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return vgg16_weights()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_front_end_is_copied_and_the_layer_behind_it_scaled(
    tmp_path: Path, weights: dict[str, torch.Tensor], suffix: str
) -> None:
    path = tmp_path / f"vgg16.{suffix}"
    if suffix == "pth":
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    model = CSRNet()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialize_from_vgg(model, path)
    for name, tensor in model.state_dict().items():
        part, rest = name.split(".", 1)
        expected = weights[f"features.{rest}"] if part == "frontend" else before[name]
        if name == "backend.0.weight":  # VGG's features are large; the layer behind them is scaled to fit
            expected = expected / VGG16_FEATURE_SCALE
        assert torch.equal(tensor, expected), name


def test_the_shared_vgg16_file_fits() -> None:
    path = shared_path("weights/vgg16_imagenet_conv1_1_to_conv4_3.safetensors")
    model = CSRNet()
    initialize_from_vgg(model, path)
    stored = safetensors.torch.load_file(path)
    assert torch.equal(model.frontend[21].weight, stored["features.21.weight"])
    assert torch.equal(model.frontend[0].bias, stored["features.0.bias"])


def test_other_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        initialize_from_vgg(CSRNet("1/4"), tmp_path / "never-read.pth")
    assert (
        str(error.value)
        == "ImageNet initialisation: VGG-16's weights fit rate 1 only, and this is 1/4-csrnet"
    )


def test_a_file_without_vgg16(tmp_path: Path) -> None:
    torch.save({"frontend.0.weight": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        SktError, match=r"other\.pth: expected VGG-16's features\.0\.weight \.\.\., found frontend"
    ):
        initialize_from_vgg(CSRNet(), tmp_path / "other.pth")


def test_another_vgg_is_refused_and_changes_nothing(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    other = dict(weights)
    del other["features.19.bias"]
    other["features.2.weight"] = torch.zeros(64)
    torch.save(other, tmp_path / "vgg.pth")
    model = CSRNet()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(SktError) as error:
        initialize_from_vgg(model, tmp_path / "vgg.pth")
    assert str(error.value).endswith(
        "weights do not fit: missing 19.bias; other shapes: 2.weight is (64,), expected (64, 64, 3, 3)"
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SktError, match=r"none\.pth: cannot be read: No such file"):
        initialize_from_vgg(CSRNet(), tmp_path / "none.pth")


def test_torchvision_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torchvision(name: str, *args: object, **options: object) -> object:
        if name.startswith("torchvision"):
            raise ImportError(name)
        return real(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_torchvision)
    with pytest.raises(
        UsageError, match=r"torchvision is not installed; pip install torchvision, or give a weights"
    ):
        initialize_from_vgg(CSRNet(), "torchvision")


def test_bl_takes_vgg19(tmp_path: Path) -> None:
    layers = {f"features.{index}": (out, channels) for index, out, channels in VGG19}
    vgg19 = {f"{name}.weight": torch.randn(out, channels, 3, 3) for name, (out, channels) in layers.items()}
    vgg19 |= {f"{name}.bias": torch.randn(out) for name, (out, _) in layers.items()}
    torch.save(vgg19, tmp_path / "vgg19.pth")
    model = BL()
    head = model.regression[0].weight.clone()
    initialize_from_vgg(model, tmp_path / "vgg19.pth")
    assert torch.equal(model.frontend[34].weight, vgg19["features.34.weight"])
    assert torch.equal(model.frontend[0].bias, vgg19["features.0.bias"])
    assert torch.equal(model.regression[0].weight, head)


def test_bl_refuses_vgg16(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "vgg16.pth")
    with pytest.raises(SktError, match=r"weights do not fit: missing 16\.weight, 16\.bias, 23\.weight"):
        initialize_from_vgg(BL(), tmp_path / "vgg16.pth")


@pytest.mark.parametrize(
    ("kind", "behind"), [(CAN, "context.bottleneck.weight"), (DSSINet, "decoders.2.reduce.weight")]
)
def test_can_and_dssinet_take_vgg16(
    tmp_path: Path, weights: dict[str, torch.Tensor], kind: type[CrowdModel], behind: str
) -> None:
    torch.save(weights, tmp_path / "vgg16.pth")
    model = kind()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialize_from_vgg(model, tmp_path / "vgg16.pth")
    assert torch.equal(model.get_parameter("frontend.21.weight"), weights["features.21.weight"])
    assert torch.equal(model.get_parameter(behind), before[behind] / VGG16_FEATURE_SCALE)
    untouched = [name for name in before if "frontend" not in name and name not in model.behind_frontend]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in untouched)


def test_a_map_behind_a_relu_does_not_start_dead() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        for model in (MCNN("1/4"), SANet("1/4"), DSSINet("1/32")):
            assert model(torch.randn(1, 3, 32, 32)).max() > 0, (seed, model.label)


# (place, channels out, channels in) of the convolutions of torchvision's VGG-19
VGG19 = (
    *((0, 64, 3), (2, 64, 64), (5, 128, 64), (7, 128, 128)),
    *((10, 256, 128), (12, 256, 256), (14, 256, 256), (16, 256, 256)),
    *((19, 512, 256), (21, 512, 512), (23, 512, 512), (25, 512, 512)),
    *((28, 512, 512), (30, 512, 512), (32, 512, 512), (34, 512, 512)),
)
