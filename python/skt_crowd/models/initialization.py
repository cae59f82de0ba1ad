"""Random initialisation: how the layers of a model start."""

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    pass

STANDARD_DEVIATION = 0.01


def initialize_kaiming(model: nn.Module) -> None:
    """Weights of convolutions ~ N(0, 2 / fan_out), biases 0 (He et al., ICCV 2015), as the authors' students start.

    A plain VGG has no normalisation, so only this scale keeps gradients alive through seventeen layers.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialize_normal(model: nn.Module) -> None:
    """Weights of convolutions ~ N(0, 0.01^2), biases 0: the rule of the MCNN and SANet papers."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=STANDARD_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialize_output(layer: nn.Conv2d) -> None:
    """The layer that makes the map starts with weights ~ N(0, 0.01^2).

    Kaiming's rule would give it, with its one output channel, a standard deviation of 1.4 and maps of tens of
    people per cell; targets are hundredths, so it starts near zero instead.
    """
    nn.init.normal_(layer.weight, std=STANDARD_DEVIATION)


def initialize_rectified_output(layer: nn.Conv2d) -> None:
    """As ``initialize_output``, with absolute values.

    For a map that ends in a ReLU: with weights of both signs it may start below zero everywhere, where no
    gradient passes, and the model would stay at zero for ever.
    """
    initialize_output(layer)
    with torch.no_grad():
        layer.weight.abs_()
