"""Feature taps: the right tensors, and no hook left behind, whatever happens."""

import pytest
import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models import CSRNet, FeatureTaps

SIZE = (37, 50)  # no multiple of eight


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.fixture
def model() -> CSRNet:
    torch.manual_seed(0)
    return CSRNet("1/8")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("profile", ["paper", "released"])
def test_features_have_the_declared_channels_and_strides(model: CSRNet, profile: str, training: bool) -> None:
    model.train(training)
    with FeatureTaps(model, model.tap_paths(profile)) as taps:
        model(torch.randn(2, 3, *SIZE))
    assert tuple(feature.shape[1] for feature in taps.features) == model.tap_channels(profile)
    sizes = [tuple(feature.shape[2:]) for feature in taps.features]
    assert sizes == [(37, 50), (19, 25), (10, 13), (5, 7), (5, 7), (5, 7)]


def test_paper_features_are_what_running_the_layers_by_hand_gives(model: CSRNet) -> None:
    image = torch.randn(1, 3, *SIZE)
    with FeatureTaps(model, model.tap_paths("paper")) as taps, torch.no_grad():
        output = model(image)
    with torch.no_grad():
        conv1_1 = model.frontend[0](image).relu()
        conv4_3 = model.frontend(image)
        conv5_1 = model.backend[0](conv4_3).relu()
        conv5_4 = model.backend[:8](conv4_3)
        plain = model(image)
    torch.testing.assert_close(taps.features[0], conv1_1)
    torch.testing.assert_close(taps.features[4], conv5_1)
    torch.testing.assert_close(taps.features[5], conv5_4)
    assert torch.equal(output, plain)  # looking changes nothing


def test_a_convolution_itself_can_be_tapped(model: CSRNet) -> None:
    """An in-place ReLU behind it would have overwritten the negative values."""
    with FeatureTaps(model, ["frontend.0"]) as taps, torch.no_grad():
        model(torch.randn(1, 3, 16, 16))
    assert taps.features[0].min() < 0


def test_gradients_flow_through_features(model: CSRNet) -> None:
    with FeatureTaps(model, model.tap_paths("paper")) as taps:
        model(torch.randn(1, 3, 16, 16))
        taps.features[1].sum().backward()
    assert model.frontend[0].weight.grad is not None
    assert model.frontend[10].weight.grad is None


def test_hooks_go_away_on_exit_and_features_stay(model: CSRNet) -> None:
    with FeatureTaps(model, model.tap_paths()) as taps:
        assert hooks(model) == 7
        model(torch.zeros(1, 3, 8, 8))
    assert hooks(model) == 0
    before = taps.features[0]
    model(torch.ones(1, 3, 8, 8))
    assert taps.features[0] is before


def test_hooks_go_away_after_an_exception_and_so_do_half_filled_features(model: CSRNet) -> None:
    taps = FeatureTaps(model, model.tap_paths())
    with pytest.raises(RuntimeError), taps:  # noqa: PT012
        model(torch.zeros(1, 3, 8, 8))
        model(torch.zeros(1, 4, 8, 8))
    assert hooks(model) == 0
    with pytest.raises(UsageError, match="no output from"):
        _ = taps.features


def test_a_new_forward_replaces_the_features(model: CSRNet) -> None:
    with FeatureTaps(model, ["frontend.1"]) as taps:
        model(torch.zeros(1, 3, 8, 8))
        model(torch.zeros(3, 3, 16, 8))
    assert taps.features[0].shape == (3, 8, 16, 8)


def test_a_failed_forward_does_not_leave_the_features_of_the_one_before(model: CSRNet) -> None:
    with FeatureTaps(model, ["backend.1"]) as taps:
        model(torch.zeros(1, 3, 8, 8))
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 4, 8, 8))
        with pytest.raises(UsageError):
            _ = taps.features


def test_features_before_any_forward(model: CSRNet) -> None:
    with (
        FeatureTaps(model, ["frontend.1"]) as taps,
        pytest.raises(
            UsageError, match=r"^FeatureTaps: no output from frontend\.1: call the model inside the"
        ),
    ):
        _ = taps.features


def test_taps_can_be_used_again_but_not_inside_themselves(model: CSRNet) -> None:
    taps = FeatureTaps(model, ["frontend.1"])
    with taps:
        with pytest.raises(UsageError, match="already open"):
            taps.__enter__()
        model(torch.zeros(1, 3, 8, 8))
    with taps:
        model(torch.zeros(2, 3, 8, 8))
    assert taps.features[0].shape[0] == 2
    assert hooks(model) == 0


def test_two_taps_on_one_model(model: CSRNet) -> None:
    with FeatureTaps(model, ["frontend.1"]) as outer:
        with FeatureTaps(model, ["backend.1", "frontend.1"]) as inner:
            model(torch.zeros(1, 3, 8, 8))
        assert hooks(model) == 2
    assert inner.features[1] is outer.features[0]


def test_an_unknown_path_lists_near_names_and_registers_nothing(model: CSRNet) -> None:
    with pytest.raises(UsageError) as error:
        FeatureTaps(model, ["frontend.1", "fronted.1"])
    assert str(error.value).startswith("path: CSRNet has no module 'fronted.1'; nearest: frontend.1")
    assert hooks(model) == 0
