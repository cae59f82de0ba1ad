"""DSSINet: one VGG-16 on three sizes of the image, whose features refine each other (Liu et al., ICCV 2019)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from skt_crowd.device import in_full_precision, without_autocast
from skt_crowd.models.base import IMAGE, ChannelNode, CrowdModel, Tiling
from skt_crowd.models.initialization import initialize_kaiming, initialize_normal, initialize_rectified_output
from skt_crowd.models.rate import scaled_width
from skt_crowd.models.vgg import VGG16_TO_CONV4_3, convolutions

# First and last layer of each VGG block in ``frontend``, without the activation behind it.
BLOCKS = ((0, 2), (4, 7), (9, 14), (16, 21))  # conv1_2, conv2_2, conv3_3, conv4_3
WIDTHS = (64, 128, 256, 512)  # of the blocks
# Blocks whose features have one resolution and refine each other, from the double-sized image to the half-sized one.
PASSINGS = ((1, 0), (2, 1, 0), (3, 2, 1), (3, 2))  # at 1, 1/2, 1/4 and 1/8 of the image's resolution
ITERATIONS = 2
DECODER_WIDTH = 128


class DSSINet(CrowdModel):
    """DSSINet with every width multiplied by the channel preservation rate; 8,857,788 parameters at rate 1.

    The output has the image's size and is never negative.

    Example:
        >>> model = DSSINet("1/16")
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 17, 30])
    """

    name = "dssinet"
    output_stride = 1
    tiling = Tiling(True, 16, 144, "every resize is by exactly two, and a pixel sees 142 others on each side")
    # The paper compares with DSSINet and does not distil it. Our choice: the hidden features of the five decoders.
    features: ClassVar = {
        profile: tuple((f"decoders.{index}.relu", DECODER_WIDTH) for index in range(5))
        for profile in ("paper", "released")
    }
    imagenet = "vgg16"
    behind_frontend = tuple(f"decoders.{index}.reduce.weight" for index in range(5))

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        widths = [scaled_width(width, rate) for width in WIDTHS]
        levels = [[widths[block] for block in blocks] for blocks in PASSINGS]
        hidden = scaled_width(DECODER_WIDTH, rate)
        self.frontend = convolutions(3, VGG16_TO_CONV4_3, rate, activation=nn.PReLU)
        self.passings = nn.ModuleList(MessagePassing(channels) for channels in levels)
        decoders = [Decoder(sum(channels), hidden) for channels in [*levels, widths[-1:]]]
        self.decoders = nn.ModuleList(decoders)
        self.fusions = nn.ModuleList(SameConv2d(1, 1, 3) for _ in PASSINGS)
        self.fusion_prelu = nn.PReLU()
        self.output_relu = nn.ReLU()
        initialize_kaiming(self.frontend)
        for part in (self.passings, self.decoders, self.fusions):
            initialize_normal(part)
        for decoder in decoders:
            initialize_rectified_output(decoder.output)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        # The VGG runs on the image at twice its size, at its size, and at half its size. Where features of two or
        # three of them have one resolution, they refine each other before the next block reads them.
        double = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
        half = F.avg_pool2d(
            image, 2, ceil_mode=True, count_include_pad=False
        )  # bilinear, by exactly one half

        double = self._block(1, self.frontend[BLOCKS[0][1] + 1](self._block(0, double)))
        at_1 = self.passings[0]([double, self._block(0, image)])  # (N, 128 r, H, W), (N, 64 r, H, W)
        double, full = at_1
        at_2 = self.passings[1]([self._block(2, double), self._block(1, full), self._block(0, half)])
        double, full, half = at_2  # 256 r, 128 r and 64 r channels at ceil(H/2) x ceil(W/2)
        at_4 = self.passings[2]([self._block(3, double), self._block(2, full), self._block(1, half)])
        _, full, half = at_4  # 512 r, 256 r and 128 r channels at ceil(H/4) x ceil(W/4)
        at_8 = self.passings[3]([self._block(3, full), self._block(2, half)])
        _, half = at_8  # 512 r and 256 r channels at ceil(H/8) x ceil(W/8)
        at_16 = [self.frontend[BLOCKS[3][1] + 1](self._block(3, half))]  # 512 r at ceil(H/16) x ceil(W/16)

        maps = [
            decoder(torch.cat(features, dim=1))  # (N, 1, h, w)
            for decoder, features in zip(self.decoders, (at_1, at_2, at_4, at_8, at_16), strict=True)
        ]
        return self._fuse(maps)  # (N, 1, H, W)

    def _block(self, block: int, feature: torch.Tensor) -> torch.Tensor:
        """One block of the VGG up to its last convolution, before the activation."""
        first, last = BLOCKS[block]
        for index in range(first, last + 1):
            feature = self.frontend[index](feature)
        return feature

    def _fuse(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Each map corrected by the next coarser one, from the coarsest to the finest."""
        with without_autocast(maps[0].device):
            density: torch.Tensor = self.fusion_prelu(maps[-1])
            for level in (3, 2, 1, 0):
                height, width = maps[level].shape[2:]
                enlarged = F.interpolate(density, scale_factor=2, mode="bilinear", align_corners=False)
                activation = self.fusion_prelu if level > 0 else self.output_relu
                density = activation(maps[level] + self.fusions[level](enlarged[:, :, :height, :width]))
        return density

    def channel_graph(self) -> Sequence[ChannelNode]:
        nodes, before = [], IMAGE
        ends = []  # the last convolution of each block
        for first, last in BLOCKS:
            for index in range(first, last + 1):
                if isinstance(self.frontend[index], nn.Conv2d):
                    nodes.append(ChannelNode(f"frontend.{index}", (before,)))
                    before = f"frontend.{index}"
            ends.append(before)
        levels = [[ends[block] for block in blocks] for blocks in PASSINGS]
        for level, sources in enumerate(levels):
            for target in range(len(sources)):
                nodes += [
                    ChannelNode(
                        f"passings.{level}.messages.{other}_to_{target}",
                        (sources[other],),
                        channels=sources[target],
                    )
                    for other in range(len(sources))
                    if other != target
                ]
        for index, sources in enumerate([*levels, ends[-1:]]):
            nodes.append(ChannelNode(f"decoders.{index}.reduce", tuple(sources)))
            nodes.append(ChannelNode(f"decoders.{index}.output", (f"decoders.{index}.reduce",)))
        return [
            *nodes,
            *(ChannelNode(f"fusions.{index}", ("decoders.0.output",)) for index in range(len(self.fusions))),
        ]


class SameConv2d(nn.Conv2d):
    """A convolution that keeps the size.

    A class of its own, as in the authors' program: a tool that counts operations and knows ``nn.Conv2d`` by its exact
    type, such as the one behind the SKT paper's tables, does not see these.
    """

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__(channels, width, kernel, padding=kernel // 2)


class MessagePassing(nn.Module):
    """Features f_i of one resolution refine each other: f_i <- ReLU(f_i + PReLU(sum over j != i of W_ji f_j)), twice.

    The 1x1 convolutions W are the same in both rounds.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        members = range(len(channels))
        self.messages = nn.ModuleDict(
            {
                f"{j}_to_{i}": SameConv2d(channels[j], channels[i], 1)
                for i in members
                for j in members
                if j != i
            }
        )
        self.prelu = nn.PReLU()
        self.relu = nn.ReLU()

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        for _ in range(ITERATIONS):
            features = [
                self.relu(feature + self.prelu(self._message(features, i)))
                for i, feature in enumerate(features)
            ]
        return features

    def _message(self, features: list[torch.Tensor], target: int) -> torch.Tensor:
        message = torch.zeros_like(features[target])
        for source, feature in enumerate(features):
            if source != target:
                message = message + self.messages[f"{source}_to_{target}"](feature)
        return message


class Decoder(nn.Module):
    """A 1x1 convolution, ReLU, and a 3x3 convolution to one channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = SameConv2d(channels, hidden, 1)
        self.relu = nn.ReLU()
        self.output = SameConv2d(hidden, 1, 3)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return in_full_precision(self.output, self.relu(self.reduce(feature)))  # (N, 1, H, W)
