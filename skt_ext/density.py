"""Density maps from annotated points: sigma of each person's kernel, the maps, and their sums over a network's cells.

A point is [x, y] in pixels, continuous, with the origin at the top left corner of the image: x in [0, W), y in [0, H).
A person stands in the pixel floor(x), floor(y). Points, regions and images may be tensors or numpy arrays. A wrong type
raises TypeError; a wrong shape or value raises ValueError. Nothing here is differentiable except downsample_density:
points, sigma or an image that require a gradient raise ValueError.

Geodesic maps are an extension of this library: a kernel's distance goes around what is outside the region of
interest, and along what looks alike in the image, so that it does not reach through a wall or past an outline.
"""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from skt_ext import _library
from skt_ext._checks import DTYPES, as_count, as_number, check_choice, check_dense
from skt_ext._map_checks import as_geodesic, as_image, as_people, as_region, as_shape, as_sigma
from skt_ext.ops import OPERATORS
from skt_ext.ops.density_splat import sum_blocks
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

    With a geodesic_weight w, d is the straight line plus a detour. The detour, in pixels, is the cost of the cheapest
    path of straight and diagonal steps inside roi and the kernel's square, less its cost on open ground:
    (G - (1 - w) G0) / (1 - w), where a step costs (1 - w) * length + w * gain * |change of image|, summed over
    channels; no step cuts a corner. w = 0 goes around walls alone; without roi and image that is the plain Gaussian.
    A geodesic map takes one round kernel per person (sigma a number or (P,)) at the middle of a pixel.

    Args:
        points: (P, 2) [x, y] in pixels; P may be 0. Points outside the image or outside roi contribute nothing; people
            at the same place add up. (P, K, 2) for people of K kernels, of equal mass and normalised together, as
            head_and_body makes them; a person stands where the first one is.
        shape: (H, W) of the image.
        sigma: Standard deviations in pixels: one number, (P,), or (P, 2) for [x, y]; (P, K) or (P, K, 2) with K
            kernels. Above 0; truncate * sigma is at most 1,000,000 pixels.
        truncate: A kernel reaches int(truncate * sigma + 0.5) pixels to each side, as in
            scipy.ndimage.gaussian_filter.
        boundary: "conserve": each person sums to one inside the image (and inside roi), wherever they stand; "clip":
            kernels are cut at the border (and at roi), so that people near it count less than one.
        roi: (H, W) bool, True where people are counted; None for the whole image.
        image: (C, H, W) or (H, W), uint8 (taken as value / 255) or float; only with a geodesic_weight.
        geodesic_weight: None: d is the straight line, and a kernel reaches through what is outside roi. Or w, a number
            in [0, 1): see above.
        geodesic_gain: Pixels that a change of 1 in one channel is worth at a geodesic_weight of 0.5.
        subpixel: Centre kernels at the points; False: at the middle of the pixel a person stands in, as the scripts of
            the data sets do.
        stride: Sums over blocks of stride x stride pixels instead of pixels, without the full map: the same as
            downsample_density(density_map(...), stride), people per cell.
        backend: "auto": the native kernel where there is one, else Triton's on CUDA, else the reference; "native";
            or "reference", plain torch.

    Returns:
        (ceil(H / stride), ceil(W / stride)) float32, on the device of points. The same call gives the same bits, on
        any number of threads.

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: A shape, device or value does not fit, or an argument requires a gradient.
        NotImplementedError: An argument takes part in forward-mode differentiation.
        RuntimeError: The backend "native" was asked for where there is none.

    Example:
        >>> round(density_map(torch.tensor([[3.5, 0.0]]), (8, 8), 2.0).sum().item(), 5)
        1.0
        >>> room = torch.ones(5, 7, dtype=torch.bool)
        >>> room[:, 3] = False
        >>> map = density_map(torch.tensor([[1.5, 2.5]]), (5, 7), 2.0, roi=room, geodesic_weight=0.0)
        >>> map[:, 4:].sum().item()  # behind the wall
        0.0
    """
    positions = as_people(points)
    size = as_shape(shape)
    truncate = as_number("truncate", truncate, positive=True)
    sigmas = as_sigma(sigma, positions, truncate)
    region = None if roi is None else as_region(roi, size)[None]
    values = None if image is None else as_image(image, size)[None]
    offsets = torch.tensor([0, len(positions)], device=positions.device)
    return _splat(
        positions, sigmas, offsets, size, truncate, boundary, region, values, geodesic_weight, geodesic_gain,
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
    """D_b(x) for each image b of a batch of images of one size: as `density_map`, in one call.

    Args:
        points: For each image its people, as in density_map; their numbers differ, K does not.
        shape: (H, W) of every image.
        sigma: For each image its sigmas, as in density_map; or one number for all.
        truncate: As in density_map.
        boundary: As in density_map.
        roi: (B, H, W) bool; None for the whole of every image.
        image: (B, C, H, W) or (B, H, W), as in density_map.
        geodesic_weight: As in density_map.
        geodesic_gain: As in density_map.
        subpixel: As in density_map.
        stride: As in density_map.
        backend: As in density_map.

    Returns:
        (B, ceil(H / stride), ceil(W / stride)) float32; map b equals density_map of image b.

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: A shape, device or value does not fit, or an argument requires a gradient.
        NotImplementedError: An argument takes part in forward-mode differentiation.
        RuntimeError: The backend "native" was asked for where there is none.

    Example:
        >>> crowds = [torch.tensor([[3.0, 3.0], [9.0, 5.0]]), torch.empty(0, 2)]
        >>> density_maps(crowds, (16, 16), 1.5, stride=8).sum((1, 2)).round(decimals=4)
        tensor([2., 0.])
    """
    if not isinstance(points, (list, tuple)) or len(points) == 0:
        raise ValueError("points must be a list of at least one image's points (P, 2)")
    size = as_shape(shape)
    truncate = as_number("truncate", truncate, positive=True)
    people = [as_people(crowd, f"points[{i}]") for i, crowd in enumerate(points)]
    for i, crowd in enumerate(people):
        if crowd.shape[1] != people[0].shape[1] or crowd.device != people[0].device:
            raise ValueError(
                f"points[{i}] must have the K of points[0], {people[0].shape[1]}, and its device, "
                f"{people[0].device}, got K = {crowd.shape[1]} on {crowd.device}"
            )
    per_image = list(sigma) if isinstance(sigma, (list, tuple)) else [sigma] * len(people)
    if len(per_image) != len(people):
        raise ValueError(
            f"sigma must be a number or hold one entry per image, {len(people)}, got {len(per_image)}"
        )
    sigmas = [as_sigma(per_image[i], people[i], truncate, f"sigma[{i}]") for i in range(len(people))]
    batch = len(people)
    region = None if roi is None else as_region(roi, (batch, *size), "(B, H, W)")
    values = None if image is None else as_image(image, size, (batch,))
    counts = torch.tensor([0, *(len(crowd) for crowd in people)])
    return _splat(
        torch.cat(people), torch.cat(sigmas), counts.cumsum(0).to(people[0].device), size, truncate, boundary,
        region, values, geodesic_weight, geodesic_gain, subpixel, stride, backend,
    )  # fmt: skip


def downsample_density(density: Tensor, factor: int) -> Tensor:
    """Sums over blocks of factor x factor pixels: the density map at a network's output stride `factor`.

    Args:
        density: (..., H, W) float, people per pixel; H and W need not divide by factor.
        factor: Side of a block in pixels, at least 1.

    Returns:
        (..., ceil(H / factor), ceil(W / factor)) in the same dtype, people per cell: no one is lost.

    Raises:
        TypeError: density is no float tensor, or factor no whole number.
        ValueError: density has fewer than two axes, or factor is below 1.

    Example:
        >>> downsample_density(torch.ones(3, 5), 2)
        tensor([[4., 4., 2.],
                [2., 2., 1.]])
    """
    if not isinstance(density, Tensor):
        raise TypeError(f"density must be a tensor (..., H, W), got {type(density).__name__}")
    if density.dtype not in DTYPES:
        raise TypeError(f"density must be float64, float32, float16 or bfloat16, got {density.dtype}")
    check_dense("density", density)
    if density.ndim < 2:
        raise ValueError(f"density must have at least 2 axes (..., H, W), got shape {tuple(density.shape)}")
    return sum_blocks(density, as_count("factor", factor))


def _splat(
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
    stride = min(as_count("stride", stride), max(shape))  # a cell as large as the map holds all of it
    weight = gain = 0.0
    if geodesic_weight is None and image is not None:
        raise ValueError("image is for geodesic maps: pass a geodesic_weight too")
    if geodesic_weight is not None:
        weight, gain = as_geodesic(geodesic_weight, geodesic_gain)
        if points.shape[1] != 1 or not torch.equal(sigma[..., 0], sigma[..., 1]):
            raise ValueError(
                "a geodesic map takes one round kernel per person: points (P, 2), and sigma a number or (P,)"
            )
        if subpixel:
            raise ValueError(
                "a geodesic map has its kernels at the middle of a pixel: subpixel must be False"
            )
    device = points.device
    roi = None if roi is None else roi.to(device)
    image = None if image is None else image.to(device)
    conserve = boundary == "conserve"
    arguments: tuple[Any, ...]
    if geodesic_weight is None or (roi is None and (image is None or weight == 0)):
        name = "density_splat"
        arguments = (points, sigma, offsets, *shape, stride, truncate, conserve, subpixel, roi)
    else:
        name, people, sigmas = "geodesic_splat", points[:, 0], sigma[:, 0, 0]
        arguments = (people, sigmas, offsets, *shape, stride, truncate, conserve, roi, image, weight, gain)
    maps: Tensor = _operator(name, backend, device)(*arguments)
    return maps


def _operator(name: str, backend: str, device: torch.device) -> Any:
    if backend == "reference":
        return OPERATORS[name].reference
    if backend == "native" and _library.BACKENDS[name].get(device.type) != "native":
        reason = _library.load() or f"the library has no kernel for {device.type}"
        raise RuntimeError(f"density_map has no native kernel here: {reason}")
    return getattr(torch.ops.skt_ext, name)
