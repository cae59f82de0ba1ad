"""Evaluation protocols: how an image is sized and cut before it is counted, and what it is compared with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from skt_crowd.data import SigmaRule
from skt_crowd.data.targets import Boundary
from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box
from skt_crowd.inference.prediction import MapPart, Prediction
from skt_crowd.inference.predictor import Predictor
from skt_crowd.inference.tiling import quadrants, split_evenly

Cut = Literal["whole", "halo", "evenly", "quadrants"]
Truth = Literal["points", "map"]


@dataclass(frozen=True)
class ClampShortSide:
    """Enlarge or reduce the image so that its shorter side lies in [minimum, maximum], keeping its shape."""

    minimum: int
    maximum: int

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The new (H, W).

        Example:
            >>> ClampShortSide(512, 2048).shape(256, 300)
            (512, 600)
        """
        short = min(height, width)
        factor = min(max(short, self.minimum), self.maximum) / short
        return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True)
class FitInside:
    """Reduce the image to at most ``side`` x ``side``, keeping its shape, then both sides down to a multiple."""

    side: int
    multiple: int

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The new (H, W).

        Example:
            >>> FitInside(1024, 16).shape(1536, 2048), FitInside(1024, 16).shape(500, 700)
            ((768, 1024), (496, 688))
        """
        factor = min(1.0, self.side / max(height, width))
        tall, wide = (int(length * factor) // self.multiple * self.multiple for length in (height, width))
        return max(tall, self.multiple), max(wide, self.multiple)


@dataclass(frozen=True)
class Protocol:
    """A named way to count an image and to evaluate the count.

    Attributes:
        name: what results call it.
        summary: one line for people.
        resize: applied to the image before it is counted (bicubic, antialiased where it shrinks); the map is
            mapped back to the original image.
        cut: "whole"; "halo", tiles with a halo, equal to the whole image; "evenly" and "quadrants", parts seen
            alone, which change the count.
        tile: side of the tiles of "halo" and "evenly", pixels.
        truth: what a count is compared with: the number of points, or the sum of a density map.
        sigma, boundary: how that density map is made, and the one that map quality compares with.
        needs_region: refuse images without a region of interest.
    """

    name: str
    summary: str
    resize: ClampShortSide | FitInside | None = None
    cut: Cut = "whole"
    tile: int | None = None
    truth: Truth = "points"
    sigma: SigmaRule = field(default_factory=SigmaRule)
    boundary: Boundary = "conserve"
    needs_region: bool = False

    def predict(self, predictor: Predictor, image: np.ndarray) -> Prediction:
        """The density map that the protocol gives for an image (H, W, 3), in the coordinates of that image.

        Raises:
            UsageError: the model cannot be used with this protocol, or the memory budget is too small.
        """
        if self.resize is None:
            return self._predict(predictor, image)
        height, width = image.shape[:2]
        tall, wide = self.resize.shape(height, width)
        if (tall, wide) == (height, width):
            return self._predict(predictor, image)
        resized = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.BICUBIC))
        seen = self._predict(predictor, resized)
        (part,) = seen.parts
        cell = part.cell[0] * height / tall, part.cell[1] * width / wide
        return Prediction(
            height, width, (MapPart(part.density, Box(0, 0, height, width), cell),), seen.passes
        )

    def settings(self) -> dict[str, Any]:
        """Everything that decides a number, for the record beside it."""
        resize = None if self.resize is None else {**asdict(self.resize), "rule": type(self.resize).__name__}
        return {
            "name": self.name,
            "resize": resize,
            "cut": self.cut,
            "tile": self.tile,
            "truth": self.truth,
            "maps": {"sigma": self.sigma.model_dump(), "boundary": self.boundary},
        }

    def _predict(self, predictor: Predictor, image: np.ndarray) -> Prediction:
        shape = image.shape[0], image.shape[1]
        if self.cut == "halo":
            assert self.tile is not None
            return predictor.tiles(image, (self.tile, self.tile))
        if self.cut == "evenly":
            assert self.tile is not None
            return predictor.parts(image, split_evenly(shape, self.tile))
        if self.cut == "quadrants":
            return predictor.parts(image, quadrants(shape))
        return predictor.whole(image)


WHOLE = Protocol("whole", "the whole image at once, or exact tiles where that exceeds the memory budget")

# The released code's sigmas for UCF-QNRF.
_RELEASED_SIGMA = SigmaRule(beta=1.0, neighbors=1, fallback=30.0, maximum=30.0)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        WHOLE,
        Protocol("tiles-halo", "tiles with a halo, equal to the whole image", cut="halo", tile=512),
        Protocol(
            "released-tiles-512",
            "the released SKT code on UCF-QNRF: parts of at most 512 seen alone, against the sum of a map",
            cut="evenly",
            tile=512,
            truth="map",
            sigma=_RELEASED_SIGMA,
            boundary="clip",  # loses people at the border
        ),
        Protocol(
            "bl-resize",
            "Bayesian loss and DM-Count: shorter side within 512 to 2048",
            resize=ClampShortSide(512, 2048),
        ),
        Protocol(
            "dm-count-nwpu-resize",
            "DM-Count on NWPU-Crowd: shorter side within 384 to 1920",
            resize=ClampShortSide(384, 1920),
        ),
        Protocol(
            "c3-resize",
            "C-3-Framework on UCF-QNRF: reduced to fit 1024 x 1024, sides down to multiples of 16",
            resize=FitInside(1024, 16),
        ),
        Protocol("can-quadrants", "CAN: the four quarters seen alone", cut="quadrants"),
        Protocol("roi", "the whole image, people inside the region of interest", needs_region=True),
    )
}


def find_protocol(name: str, *, tile: int | None = None, truth: str | None = None) -> Protocol:
    """A protocol by name, with another tile or truth where they are given.

    Raises:
        UsageError: an unknown name or truth, or a tile for a protocol without tiles.

    Example:
        >>> find_protocol("tiles-halo", tile=256).tile
        256
    """
    if name not in PROTOCOLS:
        raise UsageError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    protocol = PROTOCOLS[name]
    if tile is not None:
        if protocol.tile is None:
            raise UsageError(f"tile: protocol {name} has no tiles to choose the size of")
        if tile < 1:
            raise UsageError(f"tile: expected at least 1 pixel, got {tile}")
        protocol = replace(protocol, tile=tile)
    if truth is not None:
        if truth not in get_args(Truth):
            raise UsageError(f"truth: expected points or map, got {truth!r}")
        protocol = replace(protocol, truth=truth)  # type: ignore[arg-type]  # checked above
    return protocol
