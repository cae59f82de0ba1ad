"""CAN: CSRNet with four scales of context between its halves (Liu et al., CVPR 2019), at any width."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from skt_crowd.device import in_full_precision
from skt_crowd.models.base import IMAGE, ChannelNode, CrowdModel, Tiling
from skt_crowd.models.csrnet import BACKEND
from skt_crowd.models.initialization import initialize_kaiming, initialize_output
from skt_crowd.models.rate import scaled_width
from skt_crowd.models.vgg import VGG16_TAPS, VGG16_TO_CONV4_3, convolutions

SCALES = (1, 2, 3, 6)  # rows and columns of the grids over which the context is averaged
# The paper compares with CAN and does not distil it. Our choice: CSRNet's features, which CAN has too.
BACKEND_TAPS = (("backend.2", 512), ("backend.11", 256))  # conv5_1 and conv5_4, after batch norm and ReLU


class CAN(CrowdModel):
    """CAN with every width multiplied by the channel preservation rate; 18,103,489 parameters at rate 1.

    Its back end is CSRNet's with batch norm: training needs more than one cell in a batch. Module names are
    those of published CAN weights.

    Example:
        >>> model = CAN("1/4").eval()
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 3, 4])
    """

    name = "can"
    output_stride = 8
    tiling = Tiling(False, 8, 0, "its context is averaged over the whole image")
    features: ClassVar = {profile: taps + BACKEND_TAPS for profile, taps in VGG16_TAPS.items()}
    imagenet = "vgg16"
    behind_frontend = ("context.weight_net.weight", "context.bottleneck.weight")

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        self.frontend = convolutions(3, VGG16_TO_CONV4_3, rate)
        self.context = Context(scaled_width(512, rate))
        self.backend = convolutions(scaled_width(512, rate), BACKEND, rate, dilation=2, batch_norm=True)
        self.output_layer = nn.Conv2d(scaled_width(64, rate), 1, kernel_size=1)
        initialize_kaiming(self)
        initialize_output(self.output_layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        feature = self.frontend(image)  # (N, 512 r, ceil(H/8), ceil(W/8))
        feature = self.context(feature)  # (N, 512 r, ceil(H/8), ceil(W/8))
        feature = self.backend(feature)  # (N, 64 r, ceil(H/8), ceil(W/8))
        return in_full_precision(self.output_layer, feature)  # (N, 1, ceil(H/8), ceil(W/8))

    def channel_graph(self) -> Sequence[ChannelNode]:
        nodes, before = [], IMAGE
        for index, layer in enumerate(self.frontend):
            if isinstance(layer, nn.Conv2d):
                nodes.append(ChannelNode(f"frontend.{index}", (before,)))
                before = f"frontend.{index}"
        # The averages are subtracted from the feature, and its weights multiply them: all have its channels.
        averages = [f"context.scales.{index}.1" for index in range(len(SCALES))]
        nodes += [ChannelNode(path, (before,), channels=before) for path in (*averages, "context.weight_net")]
        nodes.append(ChannelNode("context.bottleneck", (before, before)))
        before = "context.bottleneck"
        for index, layer in enumerate(self.backend):
            path = f"backend.{index}"
            if isinstance(layer, nn.Conv2d):
                nodes.append(ChannelNode(path, (before,)))
                before = path
            elif isinstance(layer, nn.BatchNorm2d):
                nodes.append(ChannelNode(path, (before,), channels=before))
        return [*nodes, ChannelNode("output_layer", (before,))]


class Context(nn.Module):
    """A weighted mean of averages over grids of 1, 4, 9 and 36 fields, beside the feature itself.

    The weight of a scale at a pixel is computed from the contrast between the feature and that scale's average
    (eq. 2 to 5 of the CAN paper). One network makes the weights of all scales.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(side), nn.Conv2d(channels, channels, kernel_size=1, bias=False)
            )
            for side in SCALES
        )
        self.weight_net = nn.Conv2d(channels, channels, kernel_size=1)
        self.bottleneck = nn.Conv2d(2 * channels, channels, kernel_size=1)
        self.relu = nn.ReLU()

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        weighted = weights = torch.zeros_like(feature)
        for scale in self.scales:
            average = F.interpolate(scale(feature), feature.shape[2:], mode="bilinear", align_corners=False)
            weight = torch.sigmoid(self.weight_net(feature - average))  # (N, C, h, w)
            weighted = weighted + weight * average
            weights = weights + weight
        # Four sigmoids far below zero add up to 0 in floating point.
        context = weighted / weights.clamp(min=torch.finfo(weights.dtype).tiny)
        mixed: torch.Tensor = self.relu(self.bottleneck(torch.cat([context, feature], dim=1)))
        return mixed  # (N, C, h, w)
