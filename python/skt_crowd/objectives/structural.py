"""Losses that compare patterns of a density map with those of the target: DSSINet's and SANet's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_crowd.errors import UsageError
from skt_crowd.ssim import gaussian_window, local_similarity

# DSSINet, section 3.3: importance of each level, and how far apart the window's taps are.
LEVEL_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
DILATIONS = (1, 2, 3, 6, 9)  # 1 + int(level^1.5)
LEAST_SIMILARITY = 1e-4  # a fractional power of a negative similarity is not a number


def dilated_multiscale_ssim_loss(
    predicted: Tensor, target: Tensor, *, reduction: str = "batchmean"
) -> Tensor:
    """1 - product over five levels of SSIM_i^w_i: the DMS-SSIM loss of DSSINet (Liu et al., ICCV 2019).

    SSIM_i is the mean structural similarity of the maps, halved i times by averaging, under a 5 x 5 Gaussian
    window of sigma 1 whose taps are 1, 2, 3, 6 and 9 cells apart, so the windows of the last level see large parts
    of the crowd. Maps are divided by the largest value of the target (1 where nobody is in it), which is the same
    as scaling them to 255 with the constants for 255. Zeros lie outside the maps.

    Args:
        predicted, target: (N, 1, H, W) people per cell, any size from 1 x 1.
        reduction: "sum" over images or "batchmean".

    Returns:
        A scalar, 0 for equal maps, below 1 for one image; float64 for float64 maps, else float32. Where a
        level's similarity falls below 0.0001 that level gives no gradient.

    Example:
        >>> crowd = torch.rand(1, 1, 32, 32)
        >>> dilated_multiscale_ssim_loss(crowd, crowd).item() < 1e-5
        True
    """
    first, second = _scaled(predicted, target)
    window = gaussian_window(5, 1.0, dtype=first.dtype, device=first.device)
    window = torch.outer(window, window)
    score = first.new_ones(len(first))  # (N,)
    for level, (weight, dilation) in enumerate(zip(LEVEL_WEIGHTS, DILATIONS, strict=True)):
        if level > 0:
            first, second = (F.avg_pool2d(map_, 2, ceil_mode=True) for map_ in (first, second))
        reach = 2 * dilation
        similarity = local_similarity(first, second, window, dilation=dilation, padding=(reach, reach))
        score = score * similarity.mean((1, 2, 3)).clamp(min=LEAST_SIMILARITY) ** weight
    return _reduced(1.0 - score, reduction)


def local_pattern_consistency_loss(
    predicted: Tensor, target: Tensor, *, weight: float = 0.001, reduction: str = "batchmean"
) -> Tensor:
    """mean (M - T)^2 + weight * (1 - mean SSIM): the loss of SANet (Cao et al., ECCV 2018, section 3.3).

    Means are over the cells of an image. SSIM is taken under an 11 x 11 Gaussian window of sigma 1.5 around every
    cell, zeros outside the maps, after both are divided by the largest value of the target (1 where nobody is in
    it), so that the constants of SSIM mean the same for every crowd; the paper does not state the range.

    Args:
        predicted, target: (N, 1, H, W) people per cell.
        weight: of the pattern against the squared error; the paper's is 0.001.
        reduction: "sum" over images or "batchmean".

    Returns:
        A scalar, 0 for equal maps; float64 for float64 maps, else float32.

    Example:
        >>> local_pattern_consistency_loss(torch.ones(1, 1, 9, 9), torch.zeros(1, 1, 9, 9), weight=0).item()
        1.0
    """
    first, second = _scaled(predicted, target)
    window = gaussian_window(11, 1.5, dtype=first.dtype, device=first.device)
    similarity = local_similarity(first, second, torch.outer(window, window), padding=(5, 5))
    error = (predicted.to(first.dtype) - target.to(first.dtype)).square().mean((1, 2, 3))  # (N,)
    return _reduced(error + weight * (1.0 - similarity.mean((1, 2, 3))), reduction)


def _scaled(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps divided by the largest value of the target, image by image."""
    if predicted.shape != target.shape or predicted.ndim != 4 or predicted.shape[1] != 1:
        raise UsageError(
            f"predicted and target: expected two (N, 1, H, W), got {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    dtype = torch.float64 if torch.float64 in (predicted.dtype, target.dtype) else torch.float32
    largest = target.detach().to(dtype).amax((1, 2, 3), keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return predicted.to(dtype) / largest, target.to(dtype) / largest


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    """(N,) over images."""
    return losses.mean() if reduction == "batchmean" else losses.sum()
