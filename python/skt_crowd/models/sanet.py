"""SANet: four modules of parallel kernels and a deconvolving decoder (Cao et al., ECCV 2018), at any width."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from skt_crowd.device import in_full_precision
from skt_crowd.models.base import IMAGE, ChannelNode, CrowdModel, Tiling
from skt_crowd.models.initialization import initialize_normal, initialize_rectified_output
from skt_crowd.models.rate import scaled_width

KERNELS = (1, 3, 5, 7)  # the parallel branches of a module
BRANCHES = (16, 32, 32, 16)  # width of each branch in modules 1 to 4
DECODER = ((64, 9), (32, 7), (16, 5), (16, 3), (16, 5))  # (width, kernel); the first three are each enlarged
CROP = 3  # three deconvolutions give 8 n + 7 rows for n: three before the image's first, four after its last


class SANet(CrowdModel):
    """SANet with every width multiplied by the channel preservation rate; 910,641 parameters at rate 1.

    The variant whose parameters and computation are those of the SKT paper's tables; public SANets differ. Every
    convolution but the last is instance-normalised, without learned factors. The output has the image's
    size and is never negative.

    Example:
        >>> model = SANet("1/4")
        >>> sum(p.numel() for p in model.parameters())
        57885
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 17, 30])
    """

    name = "sanet"
    output_stride = 1
    tiling = Tiling(False, 8, 0, "its instance norms take mean and deviation over the whole image")
    # "For SANet, we transfer knowledge on the output features of each block": the modules of the encoder.
    features: ClassVar = {
        profile: tuple((f"encoder.{2 * index}", 4 * width) for index, width in enumerate(BRANCHES))
        for profile in ("paper", "released")
    }

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        encoder: list[nn.Module] = []
        channels = 3
        for branch in BRANCHES:
            module = ScaleAggregation(channels, scaled_width(branch, rate), reduce=bool(encoder))
            encoder += [module, nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)]
            channels = module.channels
        self.encoder = nn.Sequential(*encoder[:-1])  # no pool behind the last module

        decoder: list[nn.Module] = []
        for index, (width, kernel) in enumerate(DECODER):
            decoder.append(normalized_convolution(channels, scaled_width(width, rate), kernel))
            channels = scaled_width(width, rate)
            if index < 3:
                decoder.append(
                    nn.ConvTranspose2d(channels, channels, kernel_size=3, stride=2)
                )  # n -> 2 n + 1
        self.decoder = nn.Sequential(*decoder)
        self.output_layer = nn.Conv2d(channels, 1, kernel_size=1)
        self.output_relu = nn.ReLU()
        initialize_normal(self)
        initialize_rectified_output(self.output_layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2:]
        feature = self.encoder(image)  # (N, 64 r, ceil(H/8), ceil(W/8))
        feature = self.decoder(feature)  # (N, 16 r, 8 ceil(H/8) + 7, 8 ceil(W/8) + 7)
        density: torch.Tensor = self.output_relu(in_full_precision(self.output_layer, feature))
        return density[:, :, CROP : CROP + height, CROP : CROP + width]  # (N, 1, H, W)

    def _channels(self, width: int) -> int:
        return 4 * scaled_width(width // 4, self.channel_preservation_rate)

    def channel_graph(self) -> Sequence[ChannelNode]:
        nodes: list[ChannelNode] = []
        before: tuple[str, ...] = (IMAGE,)
        for index, module in enumerate(self.encoder):
            if isinstance(module, ScaleAggregation):
                paths = [
                    [f"encoder.{index}.{path}" for path in chain] for chain in module.convolution_paths()
                ]
                for chain in paths:
                    nodes += [
                        ChannelNode(path, (chain[depth - 1],) if depth else before)
                        for depth, path in enumerate(chain)
                    ]
                before = tuple(chain[-1] for chain in paths)
        for index, module in enumerate(self.decoder):
            path = f"decoder.{index}" + (".0" if isinstance(module, nn.Sequential) else "")
            nodes.append(ChannelNode(path, before))
            before = (path,)
        return [*nodes, ChannelNode("output_layer", before)]


class ScaleAggregation(nn.Module):
    """Convolutions with kernels of 1, 3, 5 and 7 pixels side by side; their outputs are concatenated.

    ``reduce`` puts a 1x1 convolution to half the input's channels before the three larger ones.
    """

    def __init__(self, channels: int, width: int, *, reduce: bool) -> None:
        super().__init__()
        self.channels = len(KERNELS) * width
        self.branches = nn.ModuleList()
        for kernel in KERNELS:
            if reduce and kernel > 1:
                half = max(1, channels // 2)
                reduction = normalized_convolution(channels, half, 1)
                self.branches.append(nn.Sequential(*reduction, *normalized_convolution(half, width, kernel)))
            else:
                self.branches.append(normalized_convolution(channels, width, kernel))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(feature) for branch in self.branches], dim=1)  # (N, 4 width, H, W)

    def convolution_paths(self) -> list[list[str]]:
        """Paths of the convolutions of each branch, in the order in which they run."""
        return [
            [
                f"branches.{index}.{path}"
                for path, layer in branch.named_children()
                if isinstance(layer, nn.Conv2d)
            ]
            for index, branch in enumerate(self.branches)
        ]


class InstanceNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) over the pixels of each channel; no parameters; any size from 1x1.

    ``nn.InstanceNorm2d`` refuses features of one pixel, whose normalised value is 0.
    """

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return torch.instance_norm(
            feature, None, None, None, None, True, 0.0, 1e-5, torch.backends.cudnn.enabled
        )


def normalized_convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, instance norm, ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=kernel // 2), InstanceNorm(), nn.ReLU())
