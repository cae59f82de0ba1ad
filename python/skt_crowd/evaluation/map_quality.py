"""How close a density map is to the one made of the points: GAME, PSNR and SSIM, and their conventions."""

import math
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from skt_crowd.errors import UsageError
from skt_crowd.inference import Prediction
from skt_crowd.ssim import gaussian_window, local_similarity

GAME_LEVELS = (0, 1, 2, 3)
SsimWindow = Literal["gaussian", "blocks"]


_SIDE, _SIGMA = 11, 1.5  # Wang et al. 2004


def grid_average_errors(prediction: Prediction, points: np.ndarray) -> tuple[float, ...]:
    """GAME(L) = sum over 4^L equal rectangles of |P_r - G_r|, for L = 0, 1, 2, 3 (Guerrero-Gomez-Olmedo 2015).

    The rectangles are H / 2^L x W / 2^L pixels, whole or not, and a cell of the map that lies in several
    gives each the share of its area: nothing is rounded to cells. GAME(0) is the error of the count, and no level
    is below the one before.

    Args:
        prediction: of an image of H x W pixels.
        points: (P, 2) [x, y] of its people.

    Returns:
        Four numbers, people.
    """
    errors = []
    for level in GAME_LEVELS:
        parts = 2**level
        rows = np.linspace(0.0, prediction.height, parts + 1)
        columns = np.linspace(0.0, prediction.width, parts + 1)
        people = np.histogram2d(points[:, 1], points[:, 0], bins=(rows, columns))[0]  # (parts, parts)
        errors.append(float(np.abs(prediction.sums(rows, columns) - people).sum()))
    return tuple(errors)


def enlarge(density: np.ndarray, stride: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A map in people per cell as people per pixel, bilinear between the cells' centres.

    Args:
        density: (h, w) people per cell of stride x stride pixels.
        shape: (H, W) of the image.

    Returns:
        (H, W). Its sum is close to the count but not equal: interpolation moves people at the border.
    """
    cells = torch.from_numpy(np.asarray(density, np.float64))[None, None]
    size = density.shape[0] * stride, density.shape[1] * stride
    pixels = F.interpolate(cells, size=size, mode="bilinear", align_corners=False)[0, 0]
    whole: NDArray[np.float64] = pixels.numpy()[: shape[0], : shape[1]] / stride**2
    return whole


def peak_signal_to_noise(predicted: np.ndarray, truth: np.ndarray) -> float:
    """PSNR = 20 log10(max(truth) / sqrt(mean (predicted - truth)^2)), in dB.

    NaN where nobody is in the truth, infinite for equal maps.

    Example:
        >>> round(peak_signal_to_noise(np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]])), 6)
        20.0
    """
    _require_one_shape(predicted, truth)
    largest = float(truth.max())
    if largest <= 0:
        return math.nan
    error = float(np.square(predicted.astype(np.float64) - truth).mean())
    return math.inf if error == 0 else 20 * math.log10(largest / math.sqrt(error))


def structural_similarity(predicted: np.ndarray, truth: np.ndarray, window: SsimWindow = "gaussian") -> float:
    """SSIM of two maps, -1 to 1: the mean over windows of Wang et al., IEEE TIP 2004, equation 13.

    Both maps are divided by the largest value of the truth first, so that its range is 1 and the constants are
    C1 = 0.01^2 and C2 = 0.03^2; NaN where nobody is in the truth.

    Args:
        predicted: (H, W).
        truth: (H, W).
        window: "gaussian": 11 x 11 with sigma 1.5 around every pixel that has a whole window (the map is one
            window where it is smaller); "blocks": 11 x 11 pixels side by side, all weighted alike, as the code of
            NWPU-Crowd does; what is left at the right and bottom does not count, unless there is nothing else.
    """
    _require_one_shape(predicted, truth)
    if window not in get_args(SsimWindow):
        raise UsageError(f"window: expected gaussian or blocks, got {window!r}")
    largest = float(truth.max())
    if largest <= 0:
        return math.nan
    first, second = (
        torch.from_numpy(map_.astype(np.float64))[None, None] / largest for map_ in (predicted, truth)
    )
    rows, columns = (min(_SIDE, length) for length in truth.shape)
    if window == "gaussian":
        weights = torch.outer(gaussian_window(rows, _SIGMA), gaussian_window(columns, _SIGMA))
    else:
        weights = torch.full((rows, columns), 1.0 / (rows * columns), dtype=torch.float64)
    return float(local_similarity(first, second, weights, step=1 if window == "gaussian" else _SIDE).mean())


def _require_one_shape(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.size == 0:
        raise UsageError(
            f"maps: expected two of the same shape (H, W), got {tuple(predicted.shape)} and {tuple(truth.shape)}"
        )
