"""BL, the model of Bayesian Loss: VGG-19 and three regression layers (Ma et al., ICCV 2019), at any width."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from skt_crowd.device import in_full_precision
from skt_crowd.models.base import CrowdModel, Tiling
from skt_crowd.models.initialization import initialize_kaiming, initialize_output
from skt_crowd.models.rate import scaled_width
from skt_crowd.models.vgg import VGG19_TO_CONV5_4, convolutions

# The paper distils BL "with the same transfer configuration of CSRNet" and says no more. Our choice: the same six
# depths, where the first regression layer stands for conv5_4. conv5_1 is the coarsest, so it comes last.
DEEP_TAPS = (("regression.1", 256), ("frontend.29", 512))


class BL(CrowdModel):
    """BL with every width multiplied by the channel preservation rate; 21,499,457 parameters at rate 1.

    VGG-19 without its last pool gives stride 16; its features are enlarged to stride 8 before the regression.
    The output is an absolute value: no cell is negative.

    Example:
        >>> model = BL("1/4")
        >>> sum(p.numel() for p in model.parameters())
        1345169
        >>> model(torch.zeros(1, 3, 17, 30)).shape
        torch.Size([1, 1, 3, 4])
    """

    name = "bl"
    output_stride = 8
    tiling = Tiling(False, 16, 0, "features are enlarged corner to corner, by a factor that the size decides")
    features: ClassVar = {
        #            conv1_1             conv2_1              conv3_1               conv4_1
        "paper": (
            ("frontend.1", 64),
            ("frontend.6", 128),
            ("frontend.11", 256),
            ("frontend.20", 512),
            *DEEP_TAPS,
        ),
        #            conv1_1                pool1               pool2                pool3
        "released": (
            ("frontend.1", 64),
            ("frontend.4", 64),
            ("frontend.9", 128),
            ("frontend.18", 256),
            *DEEP_TAPS,
        ),
    }
    imagenet = "vgg19"

    def __init__(self, channel_preservation_rate: float | str = 1.0) -> None:
        super().__init__(channel_preservation_rate)
        rate = self.channel_preservation_rate
        self.frontend = convolutions(3, VGG19_TO_CONV5_4, rate)
        self.regression = convolutions(scaled_width(512, rate), (256, 128), rate)
        self.output_layer = nn.Conv2d(scaled_width(128, rate), 1, kernel_size=1)
        initialize_kaiming(self)
        initialize_output(self.output_layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = (-(-side // 8) for side in image.shape[2:])
        feature = self.frontend(image)  # (N, 512 r, ceil(H/16), ceil(W/16))
        feature = F.interpolate(feature, (height, width), mode="bilinear", align_corners=True)
        feature = self.regression(feature)  # (N, 128 r, ceil(H/8), ceil(W/8))
        return in_full_precision(self.output_layer, feature).abs()  # (N, 1, ceil(H/8), ceil(W/8))
