"""Whether a density map may be computed in tiles, and with how much of the surroundings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tiling:
    """What a model's map owes to pixels far away.

    A map is exact in tiles if every cell comes out as in the map of the whole image: the corners of a tile and
    of its halo lie on multiples of ``alignment`` pixels (or on the image's border), each tile is computed with
    ``halo`` pixels of its surroundings, and only its own cells are kept.

    exact      whether any halo is enough
    alignment  pixels; a multiple of every stride inside the model
    halo       pixels on each side, a multiple of ``alignment``; 0 if no halo is enough
    reason     why it is so, for people
    sides      exactness also needs an image whose height and width are multiples of this
    """

    exact: bool
    alignment: int
    halo: int
    reason: str
    sides: int = 1
