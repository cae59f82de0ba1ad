"""Structural similarity of two maps at every position, for both evaluation and losses."""

import torch
import torch.nn.functional as F
from torch import Tensor

K1, K2 = 0.01, 0.03  # Wang et al., IEEE TIP 2004, section III-B


def gaussian_window(
    length: int, sigma: float, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Tensor:
    """exp(-x^2 / 2 sigma^2) at ``length`` places around 0, divided by its sum: (length,).

    Example:
        >>> gaussian_window(3, 1.0)
        tensor([0.2741, 0.4519, 0.2741], dtype=torch.float64)
    """
    place = torch.arange(length, dtype=dtype, device=device) - (length - 1) / 2
    weights = torch.exp(-place.square() / (2 * sigma**2))
    return weights / weights.sum()


def local_similarity(
    first: Tensor,
    second: Tensor,
    window: Tensor,
    *,
    step: int = 1,
    dilation: int = 1,
    padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """SSIM = (2 m1 m2 + C1)(2 c12 + C2) / ((m1^2 + m2^2 + C1)(v1 + v2 + C2)), Wang et al. 2004, equation 13.

    m, v and c are means, variances and the covariance under the window; C1 = 0.01^2 and C2 = 0.03^2, for maps
    whose range is 1.

    Args:
        first, second: (N, 1, H, W) float.
        window: (h, w) weights that add up to 1.
        step, dilation, padding: of the window's places, as in a convolution; zeros lie outside the maps.

    Returns:
        (N, 1, H', W'), 1 where the maps are equal.
    """
    moments = torch.cat([first, second, first.square(), second.square(), first * second])  # (5 N, 1, H, W)
    means = F.conv2d(moments, window[None, None], stride=step, dilation=dilation, padding=padding)
    m1, m2, s1, s2, s12 = means.chunk(5)
    c1, c2 = K1**2, K2**2
    likeness = (2 * m1 * m2 + c1) * (2 * (s12 - m1 * m2) + c2)
    return likeness / ((m1.square() + m2.square() + c1) * (s1 - m1.square() + s2 - m2.square() + c2))
