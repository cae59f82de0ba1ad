"""What every crowd counter offers: a density map, a name, and the layers knowledge transfer taps."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models.rate import parse_rate, rate_label


class CrowdCounter(nn.Module, ABC):
    """A network that turns an image into a density map whose sum is the number of people.

    ``forward`` takes ``(N, 3, H, W)`` RGB normalised by ImageNet's mean and standard deviation, any H and W
    from 1 up, and returns ``(N, 1, ceil(H / output_stride), ceil(W / output_stride))``: people per cell.

    Subclasses set ``name`` and ``output_stride`` and say which of their modules give the features of each
    profile.

    ``tile_halo`` is the number of pixels around a tile with which the map inside the tile equals the whole
    image's: as far as a cell sees, rounded up to a multiple of the coarsest stride inside the network. None
    where tiles are never exact, because the network looks at the whole image at once (a global pool, the
    statistics of an instance norm, an enlargement that depends on the size).
    """

    name: ClassVar[str]
    output_stride: ClassVar[int]
    tile_halo: ClassVar[int | None] = None

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

    @abstractmethod
    def taps(self, profile: str) -> tuple[tuple[str, int], ...]:
        """(module path, channels) of each feature ``profile`` transfers, from the image to the output."""

    def tap_paths(self, profile: str = "paper") -> tuple[str, ...]:
        """Module paths for :class:`~skt_crowd.models.taps.FeatureTaps`, from the image to the output."""
        return tuple(path for path, _ in self.taps(profile))

    def tap_channels(self, profile: str = "paper") -> tuple[int, ...]:
        """Channels of each feature of :meth:`tap_paths`."""
        return tuple(channels for _, channels in self.taps(profile))


def require_profile(profile: str, known: tuple[str, ...]) -> None:
    """Refuse a transfer profile that a model does not have."""
    if profile not in known:
        raise UsageError(f"profile: expected one of {', '.join(known)}, got {profile!r}")
