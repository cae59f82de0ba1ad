"""The Bayesian loss: how many people a density map gives to each annotated point."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from skt_crowd.data.visibility import VisibilityRule
from skt_crowd.errors import UsageError

_NEAREST = 1e-5  # pixels^2 added to the distance of a cell that lies on a point


class BayesianSettings(VisibilityRule):
    """The Bayesian loss, and who is visible in a crop for it."""

    # Sigma of a point's likelihood, pixels.
    sigma: float = Field(default=8.0, gt=0)
    # Distance of the background as a part of the image's shorter side; null: no background.
    background_ratio: float | None = Field(default=1.0, gt=0)


def bayesian_loss(
    predicted: Tensor,
    points: Sequence[Tensor],
    shorter_sides: Sequence[float] | Tensor,
    *,
    stride: int,
    sigma: float = 8.0,
    background_ratio: float | None = 1.0,
    reduction: str = "batchmean",
) -> Tensor:
    """sum over points |t_n - E_n| + |E_background|, with E_n = sum over cells of p(n | cell) M(cell).

    The Bayesian loss with background of Ma et al., "Bayesian Loss for Crowd Count Estimation with Point
    Supervision", ICCV 2019 (there BAYESIAN+; without background, BAYESIAN). With D_n(x) the squared distance in
    pixels from the centre of cell x to point n,

        p(n | x) = exp(-D_n(x) / 2 sigma^2) / (sum over m exp(-D_m(x) / 2 sigma^2) + background term)

    and the background is one more point at the squared distance (background_ratio * shorter side)^2 /
    min_n D_n(x), which is small where everybody is far away. That distance is the one of the authors' code; the
    paper's own is the difference between a length and the distance to the nearest point. An image without points
    is all background: |sum of M|.

    Args:
        predicted: (N, 1, h, w) people per cell, from 0 up where the model is as in the paper.
        points: for each image (K, 3): x, y in pixels of the crop, and t, how much of the person is
            visible in the crop; 1 for everyone inside. K may be 0, and points may lie outside the crop.
        shorter_sides: (N,) min(H, W) in pixels of the images that the crops are cut from.
        stride: pixels along the side of a cell.
        sigma: of a point's likelihood, pixels.
        background_ratio: above 0; None for no background.
        reduction: "sum" over images or "batchmean".

    Returns:
        A scalar at least 0, people; float64 for float64 maps, else float32.

    Example:
        >>> near_one_point = torch.tensor([[[[3.0, 0.0]]]])  # three people in the left of two cells
        >>> one = [torch.tensor([[4.0, 4.0, 1.0]])]
        >>> round(bayesian_loss(near_one_point, one, [64], stride=8).item(), 3)
        2.0
    """
    if predicted.ndim != 4 or predicted.shape[1] != 1:
        raise UsageError(f"predicted: expected (N, 1, h, w), got {tuple(predicted.shape)}")
    if not len(points) == len(shorter_sides) == len(predicted):
        raise UsageError(
            f"points and shorter_sides: expected one for each of {len(predicted)} maps, "
            f"got {len(points)} and {len(shorter_sides)}"
        )
    density = predicted if predicted.dtype == torch.float64 else predicted.float()
    losses = [
        _of_one(image[0], crowd, side, stride, sigma, background_ratio)
        for image, crowd, side in zip(density, points, shorter_sides, strict=True)
    ]
    total = torch.stack(losses).sum()
    return total / len(predicted) if reduction == "batchmean" else total


def _of_one(
    density: Tensor,
    points: Tensor,
    shorter_side: float | Tensor,
    stride: int,
    sigma: float,
    background_ratio: float | None,
) -> Tensor:
    """The loss of one map (h, w)."""
    if len(points) == 0:
        return density.sum().abs()
    x, y, visible = points.to(density.dtype).unbind(1)  # (K,) each
    rows, columns = (
        stride * (torch.arange(length, dtype=density.dtype, device=density.device) + 0.5)
        for length in density.shape
    )
    down, right = (rows - y[:, None]).square(), (columns - x[:, None]).square()  # (K, h), (K, w)
    distance = (down[:, :, None] + right[:, None, :]).flatten(1)  # (K, h w)
    if background_ratio is not None:
        nearest = distance.min(0).values
        background = (background_ratio * shorter_side) ** 2 / (nearest + _NEAREST)  # (h w,)
        distance = torch.cat([distance, background[None]])
        visible = torch.cat([visible, visible.new_zeros(1)])
    posterior = torch.softmax(distance / (-2.0 * sigma**2), dim=0)  # (K or K + 1, h w)
    expected = posterior @ density.flatten()  # people given to each point
    return (visible - expected).abs().sum()
