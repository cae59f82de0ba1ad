"""Operation counts by hand, module by module, and their difference from what really runs."""

import pytest
import torch
from torch import nn

from skt_crowd.efficiency import count_macs, count_ptflops2020, parameters, peak_activation_bytes
from skt_crowd.models import build_model

H, W = 6, 10
PIXELS = H * W


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), PIXELS * (27 * 8 + 8)),
        (nn.Conv2d(3, 8, 3, padding=1, bias=False), PIXELS * 27 * 8),
        (nn.Conv2d(3, 9, 3, padding=1, groups=3), PIXELS * (9 * 9 + 9)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), 3 * 5 * (27 * 8 + 8)),
        # The bias of a transposed convolution as height x height of its output, 2 H + 1.
        (nn.ConvTranspose2d(3, 4, 3, stride=2), PIXELS * 27 * 4 + 4 * (2 * H + 1) ** 2),
        (nn.ReLU(), 3 * PIXELS),
        (nn.PReLU(), 3 * PIXELS),
        (nn.MaxPool2d(2), 3 * PIXELS),
        (nn.AdaptiveAvgPool2d(2), 3 * PIXELS),
        (nn.BatchNorm2d(3), 2 * 3 * PIXELS),
        (nn.BatchNorm2d(3, affine=False), 3 * PIXELS),
        (nn.Upsample(scale_factor=2), 4 * 3 * PIXELS),
        (nn.InstanceNorm2d(3, affine=True), 0),
        (nn.Sigmoid(), 0),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else None,
)
def test_the_tool_of_2020_counts_a_module(model: nn.Module, expected: int) -> None:
    assert count_ptflops2020(model, H, W) == expected


def test_the_tool_knows_no_subclasses_and_the_honest_count_does() -> None:
    class Convolution(nn.Conv2d):
        pass

    model = Convolution(3, 8, 3, padding=1)
    assert count_ptflops2020(model, H, W) == 0
    assert count_macs(model, H, W) == PIXELS * 27 * 8


def test_a_module_that_runs_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(image))  # type: ignore[no-any-return]

    assert count_ptflops2020(Twice(), H, W) == 2 * PIXELS * 12
    assert count_macs(Twice(), H, W) == 2 * PIXELS * 9
    assert parameters(Twice()) == 12


def test_peak_memory_of_a_chain_is_that_of_its_widest_pair() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 1, 1))
    image, eight, sixteen = (4 * PIXELS * channels for channels in (3, 8, 16))
    # nn.Sequential rebinds its input, but the caller's image stays alive.
    assert peak_activation_bytes(chain, H, W) == image + eight + sixteen


def test_peak_memory_sees_what_a_network_keeps() -> None:
    class Keeps(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            kept = [image + number for number in range(5)]
            return torch.stack(kept).sum(0)

    assert peak_activation_bytes(Keeps(), H, W) == (1 + 5 + 5 + 1) * 3 * 4 * PIXELS


def test_a_view_takes_no_memory() -> None:
    class Views(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.flatten(2).unsqueeze(0)

    assert peak_activation_bytes(Views(), H, W) == 3 * 4 * PIXELS


def test_counting_leaves_the_model_alone() -> None:
    model = build_model("csrnet", "1/4").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_macs(model, 16, 16)
    count_ptflops2020(model, 16, 16)
    peak_activation_bytes(model, 16, 16)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
