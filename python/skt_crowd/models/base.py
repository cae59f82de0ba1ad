"""What every model offers: a density map, a name, the layers that knowledge transfer taps, and its limits."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models.rate import parse_rate, rate_label, scaled_width


@dataclass(frozen=True)
class Tiling:
    """Whether a density map may be computed in tiles, and with how much of the surroundings.

    A map is exact in tiles if every cell comes out as in the map of the whole image: the corners of a tile and
    of its halo lie on multiples of ``alignment`` pixels (or on the image's border), each tile is computed with
    ``halo`` pixels of its surroundings, and only its own cells are kept.

    Attributes:
        exact: whether any halo is enough.
        alignment: pixels; a multiple of every stride inside the model.
        halo: pixels on each side, a multiple of ``alignment``; 0 if no halo is enough.
        reason: why it is so, for people.
        sides: exactness also needs an image whose height and width are multiples of this.
    """

    exact: bool
    alignment: int
    halo: int
    reason: str
    sides: int = 1


IMAGE = "image"  # stands for the input where a layer would be named


@dataclass(frozen=True)
class ChannelNode:
    """A node of the channel graph: one layer and where its channels come from.

    Attributes:
        layer: module path of a convolution, a transposed convolution or a batch norm.
        inputs: the layers whose outputs it reads, concatenated in this order; ``IMAGE`` for the image.
        channels: the layer with whose channels the output shares its own, because the two are added, multiplied
            or normalised; None: the layer has channels of its own.
    """

    layer: str
    inputs: tuple[str, ...]
    channels: str | None = None


class CrowdModel(nn.Module, ABC):
    """A network that turns an image into a density map whose sum is the number of people.

    ``forward`` takes ``(N, 3, H, W)`` RGB normalised by ImageNet's mean and standard deviation, any H and W
    from 1 up, and returns ``(N, 1, ceil(H / output_stride), ceil(W / output_stride))``: people per cell. A model
    that was made for other inputs converts them itself.

    Attributes:
        name: what ``build_model`` calls it.
        output_stride: pixels along the side of a cell.
        tiling: whether its map may be computed in tiles.
        features: for each transfer profile, (module path, width at rate 1) of each feature that is transferred.
        imagenet: the ImageNet network that its ``frontend`` is the beginning of: "vgg16", "vgg19" or None.
        behind_frontend: weights that read ImageNet features, which are large; see ``initialize_from_vgg``.
    """

    name: ClassVar[str]
    output_stride: ClassVar[int]
    tiling: ClassVar[Tiling]
    features: ClassVar[Mapping[str, Sequence[tuple[str, int]]]]
    imagenet: ClassVar[str | None] = None
    behind_frontend: ClassVar[tuple[str, ...]] = ()

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__()
        self.channel_preservation_rate: float = parse_rate(channel_preservation_rate)

    @property
    def label(self) -> str:
        """The name that tables print: ``csrnet`` or ``1/4-csrnet``."""
        if self.channel_preservation_rate == 1.0:
            return self.name
        return f"{rate_label(self.channel_preservation_rate)}-{self.name}"

    @abstractmethod
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``(N, 3, H, W)`` image -> ``(N, 1, h, w)`` people per cell."""

    def taps(self, profile: str) -> tuple[tuple[str, int], ...]:
        """(module path, channels) of each feature ``profile`` transfers, the coarsest last.

        FSP matrices are compared at the size of the last one.

        Raises:
            UsageError: a profile that the model does not have.
        """
        if profile not in self.features:
            raise UsageError(f"profile: expected one of {', '.join(self.features)}, got {profile!r}")
        return tuple((path, self._channels(width)) for path, width in self.features[profile])

    def tap_paths(self, profile: str = "paper") -> tuple[str, ...]:
        """Module paths for ``FeatureTaps``, the coarsest feature last."""
        return tuple(path for path, _ in self.taps(profile))

    def tap_channels(self, profile: str = "paper") -> tuple[int, ...]:
        """Channels of each feature of ``tap_paths``."""
        return tuple(channels for _, channels in self.taps(profile))

    def _channels(self, width: int) -> int:
        """Channels of a layer that has ``width`` at rate 1."""
        return scaled_width(width, self.channel_preservation_rate)

    def channel_graph(self) -> Sequence[ChannelNode]:
        """Which layer reads which, for ``inherit_filters``; every layer comes after those it reads.

        The default is a plain chain of convolutions. A model with branches overrides it.
        """
        chain = [path for path, module in self.named_modules() if isinstance(module, nn.Conv2d)]
        return [ChannelNode(path, (before,)) for before, path in pairwise([IMAGE, *chain])]
