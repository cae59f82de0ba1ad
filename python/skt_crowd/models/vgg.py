"""The layer plans of VGG, and the stacks of 3x3 convolutions that most models here are made of."""

from collections.abc import Callable

from torch import nn

from skt_crowd.models.rate import scaled_width

POOL = "pool"
Plan = tuple[int | str, ...]

# VGG-16 up to conv4_3 and VGG-19 up to conv5_4 (Simonyan and Zisserman, ICLR 2015), as torchvision numbers them.
VGG16_TO_CONV4_3: Plan = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512)
VGG19_TO_CONV5_4: Plan = (
    *(64, 64, POOL, 128, 128, POOL, 256, 256, 256, 256, POOL),
    *(512, 512, 512, 512, POOL, 512, 512, 512, 512),
)

# The features of eq. 1 in VGG-16, taken after the ReLU, where the next layer reads them; and what the authors'
# released code takes instead: the inputs of conv2_1, conv3_1 and conv4_1. (module path, width before scaling)
VGG16_TAPS = {
    "paper": (
        ("frontend.1", 64),  # conv1_1
        ("frontend.6", 128),  # conv2_1
        ("frontend.11", 256),  # conv3_1
        ("frontend.18", 512),  # conv4_1
    ),
    "released": (
        ("frontend.1", 64),  # conv1_1
        ("frontend.4", 64),  # pool1
        ("frontend.9", 128),  # pool2
        ("frontend.16", 256),  # pool3
    ),
}


def convolutions(
    channels: int,
    plan: Plan,
    rate: float,
    *,
    dilation: int = 1,
    batch_norm: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """3x3 convolutions that keep the size, each followed by an activation, with 2x2 pools in between.

    Pools round up, so that any size from 1x1 works. Activations are not in place: a tap on a convolution must
    see the convolution's output.

    Args:
        channels: of the input.
        plan: a width for each convolution, before scaling, and ``POOL``.
        rate: the channel preservation rate, which scales the widths.
        dilation: of every convolution.
        batch_norm: whether one follows each convolution.
        activation: makes the layer that follows each convolution.

    Example:
        >>> [type(layer).__name__ for layer in convolutions(3, (8, POOL), 0.5)]
        ['Conv2d', 'ReLU', 'MaxPool2d']
    """
    layers: list[nn.Module] = []
    for step in plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True))
            continue
        width = scaled_width(step, rate)
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=dilation, dilation=dilation))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(activation())
        channels = width
    return nn.Sequential(*layers)
