"""Density maps from annotated points: the kernels' widths, the maps, and their reduction to a network's cells.

A point is [x, y] in pixels, continuous, with the origin at the top left corner of the image: x in [0, W), y
in [0, H). A person stands in the pixel floor(x), floor(y). A wrong type raises TypeError, a wrong shape or
value ValueError.

Geodesic maps are an extension of this library: a kernel's distance goes around what is outside the region of
interest, and along what looks alike in the image, so that it does not reach through a wall or past an outline.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext import _library
from skt_ext._checks import DTYPES, check_choice, check_count, check_number
from skt_ext._density_checks import (
    as_image,
    as_people,
    as_region,
    as_widths,
    check_geodesic,
    check_shape,
)
from skt_ext.ops import OPERATORS
from skt_ext.sigma import (
    geodesic_adaptive_sigma,
    geometry_adaptive_sigma,
    head_and_body,
    nearest_neighbor_sigma,
    perspective_sigma,
)

__all__ = [
    "density_map",
    "density_maps",
    "downsample_density",
    "geodesic_adaptive_sigma",
    "geometry_adaptive_sigma",
    "head_and_body",
    "nearest_neighbor_sigma",
    "perspective_sigma",
]

BOUNDARIES = ("conserve", "clip")
BACKENDS = ("auto", "native", "reference")

Points = Tensor | npt.NDArray[Any]


def density_map(
    points: Points,
    shape: tuple[int, int],
    sigma: Tensor | npt.NDArray[Any] | float,
    *,
    truncate: float = 4.0,
    boundary: str = "conserve",
    roi: Tensor | npt.NDArray[Any] | None = None,
    image: Tensor | npt.NDArray[Any] | None = None,
    geodesic_weight: float | None = None,
    geodesic_gain: float = 10.0,
    subpixel: bool = False,
    stride: int = 1,
    backend: str = "auto",
) -> Tensor:
    """D(x) = sum over people of exp(-d(x, p_i)^2 / (2 sigma_i^2)) / Z_i: people per pixel.

    points    (P, 2) [x, y] in pixels; P may be 0. Points outside the image or outside roi contribute nothing;
              people at the same place add up. (P, K, 2) for people of K kernels, of equal mass and normalised
              together, as head_and_body makes them; a person stands where the first one is
    shape     (H, W) of the image
    sigma     widths in pixels: one number, (P,), or (P, 2) for [x, y]; (P, K) or (P, K, 2) with K kernels
    truncate  a kernel reaches int(truncate * sigma + 0.5) pixels to each side, as in
              scipy.ndimage.gaussian_filter
    boundary  "conserve": each person sums to one inside the image (and inside roi), wherever they stand;
              "clip": kernels are cut at the border (and at roi), so people near it count less than one
    roi       (H, W) bool, True where people are counted; None for the whole image
    image     (C, H, W) or (H, W), uint8 (taken as value / 255) or float; only with a geodesic_weight
    geodesic_weight
              None: d is the straight line, and a kernel reaches through what is outside roi.
              A number in [0, 1): d = straight line + detour. The detour, in pixels, is the cost of the cheapest
              path of straight and diagonal steps inside roi and the kernel's square, less its cost on open
              ground: (G - (1 - w) G0) / (1 - w), where a step costs (1 - w) * length + w * gain * |change of
              image|, summed over channels; no step cuts a corner. 0 goes around walls only; without roi and image
              that is the plain Gaussian
    geodesic_gain
              pixels that a change of 1 in one channel is worth at a geodesic_weight of 0.5
    subpixel  centre kernels at the points; False: at the middle of the pixel a person stands in, as the data sets'
              scripts do
    stride    sums over blocks of stride x stride pixels instead of pixels, without the full map: the same as
              downsample_density(density_map(...), stride), people per cell
    backend   "auto": the native kernel where there is one, else the reference; "native" raises RuntimeError
              where there is none; "reference": skt_ext.reference
    returns   (ceil(H / stride), ceil(W / stride)) float32, on the device of points. The same call gives the same
              bits, on any number of threads

    A geodesic map takes one round kernel a person (sigma a number or (P,)) at the middle of a pixel.

    >>> round(density_map(torch.tensor([[3.5, 0.0]]), (8, 8), 2.0).sum().item(), 5)
    1.0
    >>> room = torch.ones(5, 7, dtype=torch.bool)
    >>> room[:, 3] = False
    >>> behind_the_wall = density_map(torch.tensor([[1.5, 2.5]]), (5, 7), 2.0, roi=room, geodesic_weight=0.0)[:, 4:]
    >>> behind_the_wall.sum().item()
    0.0
    """
    positions = as_people(points)
    size = check_shape(shape)
    check_number("truncate", truncate, positive=True)
    widths = as_widths(sigma, positions, truncate)
    region = None if roi is None else as_region(roi, size)[None]
    picture = None if image is None else as_image(image, size)[None]
    offsets = torch.tensor([0, len(positions)], device=positions.device)
    return _draw(
        positions, widths, offsets, size, truncate, boundary, region, picture, geodesic_weight, geodesic_gain,
        subpixel, stride, backend,
    )[0]  # fmt: skip


def density_maps(
    points: Sequence[Points],
    shape: tuple[int, int],
    sigma: Sequence[Tensor | npt.NDArray[Any] | float] | float,
    *,
    truncate: float = 4.0,
    boundary: str = "conserve",
    roi: Tensor | npt.NDArray[Any] | None = None,
    image: Tensor | npt.NDArray[Any] | None = None,
    geodesic_weight: float | None = None,
    geodesic_gain: float = 10.0,
    subpixel: bool = False,
    stride: int = 1,
    backend: str = "auto",
) -> Tensor:
    """The density maps of a batch of images of one size, in one call.

    points   for each image its people, as in density_map; the numbers of people differ, K does not
    shape    (H, W) of every image
    sigma    for each image its widths, as in density_map; or one number for all
    roi      (B, H, W) bool; None for the whole of every image
    image    (B, C, H, W) or (B, H, W)
    returns  (B, ceil(H / stride), ceil(W / stride)) float32; map b equals density_map of image b

    The other arguments are those of density_map.

    >>> crowds = [torch.tensor([[3.0, 3.0], [9.0, 5.0]]), torch.empty(0, 2)]
    >>> density_maps(crowds, (16, 16), 1.5, stride=8).sum((1, 2)).round(decimals=4)
    tensor([2., 0.])
    """
    if not isinstance(points, (list, tuple)) or len(points) == 0:
        raise ValueError("points must be a list of at least one image's points (P, 2)")
    size = check_shape(shape)
    check_number("truncate", truncate, positive=True)
    people = [as_people(crowd, f"points[{i}]") for i, crowd in enumerate(points)]
    for i, crowd in enumerate(people):
        if crowd.shape[1] != people[0].shape[1] or crowd.device != people[0].device:
            raise ValueError(
                f"points[{i}] must have the K of points[0], {people[0].shape[1]}, and its device, "
                f"{people[0].device}, got K = {crowd.shape[1]} on {crowd.device}"
            )
    sigmas = list(sigma) if isinstance(sigma, (list, tuple)) else [sigma] * len(people)
    if len(sigmas) != len(people):
        raise ValueError(
            f"sigma must be a number or hold one entry an image, {len(people)}, got {len(sigmas)}"
        )
    widths = [as_widths(sigmas[i], people[i], truncate, f"sigma[{i}]") for i in range(len(people))]
    batch = len(people)
    region = None if roi is None else as_region(roi, (batch, *size), "(B, H, W)")
    picture = None if image is None else as_image(image, size, (batch,))
    counts = torch.tensor([0, *(len(crowd) for crowd in people)])
    return _draw(
        torch.cat(people), torch.cat(widths), counts.cumsum(0).to(people[0].device), size, truncate, boundary,
        region, picture, geodesic_weight, geodesic_gain, subpixel, stride, backend,
    )  # fmt: skip


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


def _draw(
    points: Tensor,
    sigma: Tensor,
    offsets: Tensor,
    shape: tuple[int, int],
    truncate: float,
    boundary: Any,
    roi: Tensor | None,
    image: Tensor | None,
    geodesic_weight: Any,
    geodesic_gain: Any,
    subpixel: Any,
    stride: Any,
    backend: Any,
) -> Tensor:
    """points and sigma (P, K, 2), roi (B, H, W), image (B, C, H, W) -> (B, ceil(H / stride), ceil(W / stride))"""
    check_choice("boundary", boundary, BOUNDARIES)
    check_choice("backend", backend, BACKENDS)
    if not isinstance(subpixel, bool):
        raise TypeError(f"subpixel must be True or False, got {type(subpixel).__name__}")
    check_count("stride", stride)
    if geodesic_weight is None and image is not None:
        raise ValueError("image is for geodesic maps: pass a geodesic_weight too")
    if geodesic_weight is not None:
        check_geodesic(geodesic_weight, geodesic_gain)
        if points.shape[1] != 1 or not torch.equal(sigma[..., 0], sigma[..., 1]):
            raise ValueError(
                "a geodesic map takes one round kernel a person: points (P, 2), and sigma a number or (P,)"
            )
        if subpixel:
            raise ValueError(
                "a geodesic map has its kernels at the middle of a pixel: subpixel must be False"
            )
    device = points.device
    roi = None if roi is None else roi.to(device)
    image = None if image is None else image.to(device)
    conserve = boundary == "conserve"
    height, width = shape
    if geodesic_weight is None or (roi is None and (image is None or geodesic_weight == 0)):
        splat = _operator("density_splat", backend, device)
        maps: Tensor = splat(
            points, sigma, offsets, height, width, stride, float(truncate), conserve, subpixel, roi
        )
        return maps
    splat = _operator("geodesic_splat", backend, device)
    maps = splat(
        points[:, 0], sigma[:, 0, 0], offsets, height, width, stride, float(truncate), conserve, roi, image,
        float(geodesic_weight), float(geodesic_gain),
    )  # fmt: skip
    return maps


def _operator(name: str, backend: str, device: torch.device) -> Any:
    if backend == "reference":
        return OPERATORS[name].reference
    if backend == "native" and _library.BACKENDS[name].get(device.type) != "native":
        reason = _library.load() or f"the library has no kernel for {device.type}"
        raise RuntimeError(f"density_map has no native kernel here: {reason}")
    return getattr(torch.ops.skt_ext, name)
