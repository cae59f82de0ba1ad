"""CSRNet: ten layers of VGG-16, six dilated layers, one 1x1 layer (Li et al., CVPR 2018), at any width."""

from typing import ClassVar

import torch
from torch import nn

from skt_crowd.device import in_full_precision
from skt_crowd.models.base import CrowdModel, Tiling
from skt_crowd.models.initialization import initialize_kaiming, initialize_output
from skt_crowd.models.rate import scaled_width
from skt_crowd.models.vgg import VGG16_TAPS, VGG16_TO_CONV4_3, convolutions

BACKEND = (512, 512, 512, 256, 128, 64)  # conv5_1 to conv5_6, dilation 2
BACKEND_TAPS = (("backend.1", 512), ("backend.7", 256))  # conv5_1 and conv5_4, after the ReLU


class CSRNet(CrowdModel):
    """CSRNet with every width multiplied by the channel preservation rate; 16,263,489 parameters at rate 1.

    Pools round up (``ceil_mode``), so any size from 1x1 works and the output is ``(N, 1, ceil(H / 8),
    ceil(W / 8))``. The output has no activation: a cell may be slightly negative. Module names are those of
    published CSRNet weights.

    Example:
        >>> model = CSRNet("1/4")
        >>> sum(p.numel() for p in model.parameters())
        1017681
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 3, 4])
    """

    name = "csrnet"
    output_stride = 8
    tiling = Tiling(True, 8, 144, "a cell sees 284 pixels along each axis and nothing else")
    features: ClassVar = {profile: taps + BACKEND_TAPS for profile, taps in VGG16_TAPS.items()}
    imagenet = "vgg16"
    behind_frontend = ("backend.0.weight",)

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        self.frontend = convolutions(3, VGG16_TO_CONV4_3, rate)
        self.backend = convolutions(scaled_width(512, rate), BACKEND, rate, dilation=2)
        self.output_layer = nn.Conv2d(scaled_width(64, rate), 1, kernel_size=1)
        initialize_kaiming(self)
        initialize_output(self.output_layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        feature = self.frontend(image)  # (N, 512 r, ceil(H/8), ceil(W/8))
        feature = self.backend(feature)  # (N, 64 r, ceil(H/8), ceil(W/8))
        return in_full_precision(self.output_layer, feature)  # (N, 1, ceil(H/8), ceil(W/8))
