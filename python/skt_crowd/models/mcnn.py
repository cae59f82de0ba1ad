"""MCNN: three columns of convolutions with large, middle and small kernels (Zhang et al., CVPR 2016), at any width."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from skt_crowd.device import in_full_precision
from skt_crowd.models.base import IMAGE, ChannelNode, CrowdModel, Tiling
from skt_crowd.models.initialization import initialize_normal, initialize_rectified_output
from skt_crowd.models.rate import scaled_width

STRIDE = 4
# (width, kernel) of the four convolutions of each column; 2x2 pools follow the first two.
COLUMNS = (
    ((16, 9), (32, 7), (16, 7), (8, 7)),
    ((20, 7), (40, 5), (20, 5), (10, 5)),
    ((24, 5), (48, 3), (24, 3), (12, 3)),
)
CONVOLUTIONS = (0, 3, 6, 8)  # their places in a column, among ReLUs and pools
# The paper does not distil MCNN. Our choice: the first and the last convolution of each column, after the ReLU.
TAPS = (
    *((f"columns.{index}.1", column[0][0]) for index, column in enumerate(COLUMNS)),
    *((f"columns.{index}.9", column[3][0]) for index, column in enumerate(COLUMNS)),
)

# What turns normalised RGB back into gray from 0 to 255 (ITU-R BT.601, as OpenCV and JPEG have it).
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)


class MCNN(CrowdModel):
    """MCNN with every width multiplied by the channel preservation rate; 127,953 parameters at rate 1.

    Takes the same normalised RGB as every model and turns it into what published MCNN weights expect: one gray
    channel from 0 to 255, resized (bilinear) so that its sides are multiples of 4, rounding down. The map is
    brought back to cells of 4 x 4 pixels of the image; that keeps its sum. Its cells are never negative.

    Example:
        >>> model = MCNN()
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 5, 8])
    """

    name = "mcnn"
    output_stride = STRIDE
    tiling = Tiling(
        True, 4, 36, "a cell sees 72 pixels along each axis; an image of other sides is resized", sides=4
    )
    features: ClassVar = {"paper": TAPS, "released": TAPS}

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        self.columns = nn.ModuleList(_column(plan, rate) for plan in COLUMNS)
        self.fuse = nn.Conv2d(sum(scaled_width(plan[-1][0], rate) for plan in COLUMNS), 1, kernel_size=1)
        self.output_relu = nn.ReLU()
        initialize_normal(self)
        initialize_rectified_output(self.fuse)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[2:]
        size = tuple(max(1, side // STRIDE) * STRIDE for side in (height, width))
        gray = _gray(image)  # (N, 1, H, W)
        if size != (height, width):
            gray = F.interpolate(gray, size, mode="bilinear", align_corners=False)
        feature = torch.cat([column(gray) for column in self.columns], dim=1)  # (N, 30 r, H // 4, W // 4)
        density: torch.Tensor = self.output_relu(in_full_precision(self.fuse, feature))
        if size != (height, width):
            density = _rows(height, density) @ density @ _rows(width, density).T
        return density  # (N, 1, ceil(H/4), ceil(W/4))

    def channel_graph(self) -> Sequence[ChannelNode]:
        columns = [[f"columns.{index}.{place}" for place in CONVOLUTIONS] for index in range(len(COLUMNS))]
        chains = [
            ChannelNode(path, (before,)) for column in columns for before, path in pairwise([IMAGE, *column])
        ]
        return [*chains, ChannelNode("fuse", tuple(column[-1] for column in columns))]


def _column(plan: Sequence[tuple[int, int]], rate: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 1
    for depth, (width, kernel) in enumerate(plan):
        layers += [nn.Conv2d(channels, scaled_width(width, rate), kernel, padding=kernel // 2), nn.ReLU()]
        channels = scaled_width(width, rate)
        if depth < 2:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _gray(image: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) normalised by ImageNet's statistics -> (N, 1, H, W), whole numbers from 0 to 255.

    Whole numbers, as a gray image holds them: of a colour JPEG these are nearly always its stored luma, which the
    published weights were trained on.
    """
    factors = [255 * luma * deviation for luma, deviation in zip(LUMA, DEVIATION, strict=True)]
    weight = torch.tensor(factors, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    offset = 255 * sum(luma * mean for luma, mean in zip(LUMA, MEAN, strict=True))
    return ((image * weight).sum(1, keepdim=True) + offset).round()


def _rows(side: int, like: torch.Tensor) -> torch.Tensor:
    """(ceil(side / 4), side // 4): the share of each cell of the resized image that lies in each cell of the image.

    The resized image's cells are ``side / (side // 4)`` pixels of the image each. Columns add up to 1.
    """
    cells = max(1, side // STRIDE)
    length = side / cells  # pixels
    starts = torch.arange(cells, dtype=like.dtype, device=like.device) * length  # (side // 4,)
    borders = torch.arange(-(-side // STRIDE), dtype=like.dtype, device=like.device)[:, None] * STRIDE
    overlap = (starts + length).minimum(borders + STRIDE) - starts.maximum(borders)
    return overlap.clamp(min=0) / length
