"""What every crowd counter offers: a density map, a name, the layers knowledge transfer taps, and its limits."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models.rate import parse_rate, rate_label, scaled_width
from skt_crowd.models.tiling import Tiling
from skt_crowd.models.wiring import IMAGE, Wire


class CrowdCounter(nn.Module, ABC):
    """A network that turns an image into a density map whose sum is the number of people.

    ``forward`` takes ``(N, 3, H, W)`` RGB normalised by ImageNet's mean and standard deviation, any H and W
    from 1 up, and returns ``(N, 1, ceil(H / output_stride), ceil(W / output_stride))``: people per cell. A model
    that was made for other inputs converts them itself.

    Subclasses set these:

    name             what :func:`~skt_crowd.models.build_model` calls it
    output_stride    pixels along the side of a cell
    tiling           whether its map may be computed in tiles
    features         for each transfer profile (module path, width at rate 1) of the features it transfers
    imagenet         which ImageNet network its ``frontend`` is the beginning of: "vgg16", "vgg19" or None
    behind_frontend  weights that read ImageNet features, which are large; see ``initialize_from_vgg``
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
        """The name a table prints: ``csrnet`` or ``1/4-csrnet``."""
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
        """Module paths for :class:`~skt_crowd.models.taps.FeatureTaps`, the coarsest feature last."""
        return tuple(path for path, _ in self.taps(profile))

    def tap_channels(self, profile: str = "paper") -> tuple[int, ...]:
        """Channels of each feature of :meth:`tap_paths`."""
        return tuple(channels for _, channels in self.taps(profile))

    def _channels(self, width: int) -> int:
        """Channels of a layer that has ``width`` at rate 1."""
        return scaled_width(width, self.channel_preservation_rate)

    def wiring(self) -> Sequence[Wire]:
        """Which layer reads which, for :func:`~skt_crowd.models.inherit_filters`, each after what it reads.

        Here: a plain chain of convolutions. A model with branches says its own.
        """
        chain = [path for path, module in self.named_modules() if isinstance(module, nn.Conv2d)]
        return [Wire(path, (before,)) for before, path in pairwise([IMAGE, *chain])]
