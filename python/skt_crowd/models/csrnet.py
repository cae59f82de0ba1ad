"""CSRNet: ten layers of VGG-16, six dilated layers, one 1x1 layer (Li et al., CVPR 2018), at any width."""

from typing import ClassVar

import torch
from torch import nn

from skt_crowd.models.base import CrowdCounter, require_profile
from skt_crowd.models.initialization import initialize_weights
from skt_crowd.models.rate import scaled_width

POOL = "pool"
FRONTEND = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512)  # VGG-16 up to conv4_3
BACKEND = (512, 512, 512, 256, 128, 64)  # conv5_1 to conv5_6, dilation 2

# The features of eq. 1, taken after the ReLU, where the next layer reads them.
PAPER_TAPS = (
    ("frontend.1", 64),  # conv1_1
    ("frontend.6", 128),  # conv2_1
    ("frontend.11", 256),  # conv3_1
    ("frontend.18", 512),  # conv4_1
    ("backend.1", 512),  # conv5_1
    ("backend.7", 256),  # conv5_4
)
# The authors' released code takes the inputs of conv2_1, conv3_1 and conv4_1 instead of their outputs.
RELEASED_TAPS = (
    ("frontend.1", 64),  # conv1_1
    ("frontend.4", 64),  # pool1
    ("frontend.9", 128),  # pool2
    ("frontend.16", 256),  # pool3
    ("backend.1", 512),  # conv5_1
    ("backend.7", 256),  # conv5_4
)
TAPS = {"paper": PAPER_TAPS, "released": RELEASED_TAPS}


class CSRNet(CrowdCounter):
    """CSRNet with every width multiplied by the channel preservation rate; 16,263,489 parameters at rate 1.

    Pools round up (``ceil_mode``), so any size from 1x1 works and the output is ``(N, 1, ceil(H / 8),
    ceil(W / 8))``. The output has no activation: a cell may be slightly negative. Module names are those of
    published CSRNet weights.

    >>> model = CSRNet("1/4")
    >>> sum(p.numel() for p in model.parameters())
    1017681
    >>> model(torch.zeros(1, 3, 17, 30)).shape
    torch.Size([1, 1, 3, 4])
    """

    name: ClassVar[str] = "csrnet"
    output_stride: ClassVar[int] = 8
    tile_halo: ClassVar[int | None] = 144  # half of the field of view, 284 pixels, rounded up to cells

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        self.frontend = _convolutions(3, FRONTEND, rate, dilation=1)
        self.backend = _convolutions(scaled_width(512, rate), BACKEND, rate, dilation=2)
        self.output_layer = nn.Conv2d(scaled_width(64, rate), 1, kernel_size=1)
        initialize_weights(self, output=self.output_layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        feature = self.frontend(image)  # (N, 512 r, ceil(H/8), ceil(W/8))
        feature = self.backend(feature)  # (N, 64 r, ceil(H/8), ceil(W/8))
        # One channel out costs nothing, and bfloat16 would round each cell to three digits: keep the map at
        # full precision.
        with torch.autocast(feature.device.type, enabled=False):
            density: torch.Tensor = self.output_layer(feature.to(self.output_layer.weight.dtype))
        return density  # (N, 1, ceil(H/8), ceil(W/8))

    def taps(self, profile: str) -> tuple[tuple[str, int], ...]:
        require_profile(profile, tuple(TAPS))
        rate = self.channel_preservation_rate
        return tuple((path, scaled_width(width, rate)) for path, width in TAPS[profile])


def _convolutions(channels: int, plan: tuple[int | str, ...], rate: float, dilation: int) -> nn.Sequential:
    """3x3 convolutions that keep the size, each followed by a ReLU, with 2x2 pools in between."""
    layers: list[nn.Module] = []
    for step in plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True))
            continue
        width = scaled_width(step, rate)
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=dilation, dilation=dilation))
        layers.append(nn.ReLU())  # not in place: a tap on the convolution must see the convolution's output
        channels = width
    return nn.Sequential(*layers)
