"""Density maps from annotated points: the kernels' widths, the map, and its reduction to a network's cells.

A point is [x, y] in pixels, continuous, with the origin at the top left corner of the image: x in [0, W), y
in [0, H). A person stands in the pixel floor(x), floor(y). A wrong type raises TypeError, a wrong shape or
value ValueError.
"""

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext import _autograd, _fake, _library, reference  # noqa: F401  (register the operators)
from skt_ext._checks import DTYPES, check_choice, check_count, check_number

__all__ = ["density_map", "downsample_density", "geometry_adaptive_sigma"]

BOUNDARIES = ("conserve", "clip")
BACKENDS = ("auto", "native", "reference")
LARGEST_RADIUS = 1_000_000  # pixels; beyond any image, and a kernel of this size still fits in memory


def geometry_adaptive_sigma(
    points: Tensor | npt.NDArray[Any],
    *,
    beta: float = 0.3,
    neighbors: int = 3,
    fallback: float = 15.0,
    minimum: float = 0.5,
    maximum: float | None = None,
) -> Tensor:
    """sigma_i = beta * mean distance to the nearest neighbours: geometry-adaptive widths (MCNN).

    points     (P, 2) [x, y] in pixels
    beta       factor of the mean distance; 0.3 in Zhang et al., CVPR 2016
    neighbors  how many neighbours the mean is over; with fewer other people it is over those there are
    fallback   width, in pixels, of a person who is alone
    minimum    lower bound of the others' widths, in pixels; people at the very same place get it
    maximum    upper bound of the others' widths, in pixels; None for no bound
    returns    (P,) float64, on the CPU

    >>> geometry_adaptive_sigma(torch.tensor([[0.0, 0.0], [0.0, 10.0]]))  # 0.3 * 10
    tensor([3., 3.], dtype=torch.float64)
    """
    check_number("beta", beta, positive=True)
    check_count("neighbors", neighbors)
    check_number("fallback", fallback, positive=True)
    check_number("minimum", minimum, positive=True)
    if maximum is not None:
        check_number("maximum", maximum, positive=True)
        if maximum < minimum:
            raise ValueError(f"maximum must be at least minimum, {minimum}, got {maximum}")
    positions = _as_points(points).cpu()
    people = len(positions)
    if people < 2:
        return torch.full((people,), float(fallback), dtype=torch.float64)

    from scipy.spatial import cKDTree  # here, because importing skt_ext must stay light

    coordinates = positions.numpy()
    others = min(neighbors, people - 1)
    distances, _ = cKDTree(coordinates).query(coordinates, k=others + 1)
    # The first column is the person itself, or somebody at the very same place: 0 in both cases.
    sigma = beta * distances[:, 1:].mean(axis=1)
    return torch.from_numpy(np.clip(sigma, minimum, maximum))


def density_map(
    points: Tensor | npt.NDArray[Any],
    shape: tuple[int, int],
    sigma: Tensor | npt.NDArray[Any] | float,
    *,
    truncate: float = 4.0,
    boundary: str = "conserve",
    roi: Tensor | npt.NDArray[Any] | None = None,
    backend: str = "auto",
) -> Tensor:
    """D(x) = sum over people of a Gaussian of width sigma_i around person i: people per pixel.

    points    (P, 2) [x, y] in pixels; P may be 0. Points outside the image or outside roi contribute nothing;
              people at the same place add up
    shape     (H, W) of the map
    sigma     widths in pixels: one number, or (P,)
    truncate  a kernel reaches int(truncate * sigma + 0.5) pixels to each side, as in
              scipy.ndimage.gaussian_filter
    boundary  "conserve": each person sums to one inside the image (and inside roi), wherever they stand;
              "clip": kernels are cut at the border (and at roi), so people near it count less than one
    roi       (H, W) bool, True where people are counted; None for the whole image
    backend   "auto": the native kernel where there is one, else the reference; "native" raises RuntimeError
              where there is none; "reference": skt_ext.reference
    returns   (H, W) float32, on the device of points. The same call gives the same bits, on any number of
              threads

    >>> round(density_map(torch.tensor([[3.5, 0.0]]), (8, 8), 2.0).sum().item(), 5)
    1.0
    """
    positions = _as_points(points)
    height, width = _check_shape(shape)
    widths = _as_widths(sigma, positions, truncate)
    check_choice("boundary", boundary, BOUNDARIES)
    check_choice("backend", backend, BACKENDS)
    region = _as_region(roi, (height, width), positions.device)
    if backend == "native":
        _require_native(positions.device)
    splat = reference.density_splat if backend == "reference" else torch.ops.skt_ext.density_splat
    density: Tensor = splat(positions, widths, height, width, float(truncate), boundary == "conserve", region)
    return density


def downsample_density(density: Tensor, factor: int) -> Tensor:
    """Sums over blocks of factor x factor pixels: the density map at a network's output stride `factor`.

    density  (..., H, W) float, people per pixel; H and W need not divide by factor
    returns  (..., ceil(H / factor), ceil(W / factor)) in the same dtype, people per cell: no one is lost

    >>> downsample_density(torch.ones(3, 5), 2)
    tensor([[4., 4., 2.],
            [2., 2., 1.]])
    """
    if not isinstance(density, Tensor):
        raise TypeError(f"density must be a tensor (..., H, W), got {type(density).__name__}")
    if density.dtype not in DTYPES:
        raise TypeError(f"density must be float64, float32, float16 or bfloat16, got {density.dtype}")
    if density.ndim < 2:
        raise ValueError(f"density must have at least 2 axes (..., H, W), got shape {tuple(density.shape)}")
    check_count("factor", factor)
    rows, columns = -(-density.shape[-2] // factor), -(-density.shape[-1] // factor)
    padded = F.pad(density, (0, columns * factor - density.shape[-1], 0, rows * factor - density.shape[-2]))
    return padded.reshape(*density.shape[:-2], rows, factor, columns, factor).sum((-3, -1))


# Checks


def _as_float64(name: str, value: Any, expected: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.astype(np.float64, order="C"))  # also for foreign byte orders
    if not isinstance(value, Tensor):
        came = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a tensor or an array of numbers {expected}, got {came}")
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, got {value.dtype}")
    if value.requires_grad:
        raise ValueError(f"{name} requires a gradient, which skt_ext does not compute: pass {name}.detach()")
    return value.to(torch.float64)


def _as_points(points: Any) -> Tensor:
    """(P, 2) float64, or a clear error."""
    positions = _as_float64("points", points, "(P, 2) of [x, y]")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"points must have shape (P, 2), [x, y] in each row, got {tuple(positions.shape)}")
    finite = positions.isfinite().all(dim=1)
    if not finite.all():
        index = int((~finite).nonzero()[0])
        raise ValueError(f"points must be finite, got points[{index}] = {positions[index].tolist()}")
    return positions


def _as_widths(sigma: Any, points: Tensor, truncate: Any) -> Tensor:
    """(P,) float64 on the device of points, or a clear error."""
    check_number("truncate", truncate, positive=True)
    if isinstance(sigma, numbers.Real):
        check_number("sigma", sigma, positive=True)
        widths = torch.full((len(points),), float(sigma), dtype=torch.float64, device=points.device)
    else:
        widths = _as_float64("sigma", sigma, "(P,), or a number")
    if widths.shape != points.shape[:1]:
        raise ValueError(
            f"sigma must be a number or have shape (P,) = ({len(points)},), got {tuple(widths.shape)}"
        )
    if widths.device != points.device:
        raise ValueError(f"sigma must be on the device of points, {points.device}, got {widths.device}")
    usable = (widths > 0) & (widths * truncate <= LARGEST_RADIUS)
    if not usable.all():
        index = int((~usable).nonzero()[0])
        raise ValueError(
            f"sigma must be above 0 and truncate * sigma at most {LARGEST_RADIUS} pixels, "
            f"got sigma[{index}] = {widths[index].item()}"
        )
    return widths


def _check_shape(shape: Any) -> tuple[int, int]:
    if not isinstance(shape, (tuple, list, torch.Size)) or len(shape) != 2:
        raise ValueError(f"shape must be (H, W), got {shape!r}")
    height, width = shape
    check_count("shape[0]", height)
    check_count("shape[1]", width)
    return height, width


def _as_region(roi: Any, shape: tuple[int, int], device: torch.device) -> Tensor | None:
    if roi is None:
        return None
    if not isinstance(roi, (Tensor, np.ndarray)):
        raise TypeError(f"roi must be a bool tensor or array (H, W), got {type(roi).__name__}")
    if roi.dtype not in (torch.bool, np.bool_):
        raise TypeError(f"roi must be bool, True where people are counted, got {roi.dtype}")
    if tuple(roi.shape) != shape:
        raise ValueError(f"roi must have the shape (H, W) of the map, {shape}, got {tuple(roi.shape)}")
    region = torch.from_numpy(np.array(roi, order="C")) if isinstance(roi, np.ndarray) else roi
    return region.to(device)


def _require_native(device: torch.device) -> None:
    if _library.BACKENDS["density_splat"].get(device.type) != "native":
        reason = _library.REASON or f"the library has no kernel for {device.type}"
        raise RuntimeError(f"density_map has no native kernel here: {reason}")
