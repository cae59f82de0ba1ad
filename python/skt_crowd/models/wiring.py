"""Which layer of a model reads the channels of which others."""

from dataclasses import dataclass

IMAGE = "image"  # stands for the input where a layer would be named


@dataclass(frozen=True)
class Wire:
    """One layer and where its channels come from.

    layer     module path of a convolution, a transposed convolution or a batch norm
    inputs    the layers whose outputs it reads, concatenated in this order; ``IMAGE`` for the image
    channels  a layer whose channels the output's are, because the two are added, multiplied or normalised;
              None: the layer has channels of its own
    """

    layer: str
    inputs: tuple[str, ...]
    channels: str | None = None
