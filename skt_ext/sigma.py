"""Sigma of each person's kernel: the rules in use, from points, a perspective map, or walls.

A fixed sigma is a number and needs no function. Sigmas are in pixels; a point is [x, y] as in skt_ext.density, where
these functions are public.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skt_ext._checks import as_count, as_number
from skt_ext._map_checks import as_float64, as_geodesic, as_image, as_points, as_region

__all__ = [
    "geodesic_adaptive_sigma",
    "geometry_adaptive_sigma",
    "head_and_body",
    "nearest_neighbor_sigma",
    "perspective_sigma",
]


def geometry_adaptive_sigma(
    points: Tensor | npt.NDArray[Any],
    *,
    beta: float = 0.3,
    neighbors: int = 3,
    fallback: float = 15.0,
    minimum: float = 0.5,
    maximum: float | None = None,
) -> Tensor:
    """sigma_i = beta * mean distance to the nearest neighbours: geometry-adaptive kernels (MCNN).

    Zhang et al., "Single-Image Crowd Counting via Multi-Column Convolutional Neural Network", CVPR 2016.

    Args:
        points: (P, 2) [x, y] in pixels.
        beta: Factor of the mean distance; 0.3 in the paper.
        neighbors: How many neighbours the mean is over; with fewer other people it is over those there are.
        fallback: Sigma, in pixels, of a person who is alone.
        minimum: Lower bound of the others' sigmas, in pixels; people at the very same place get it.
        maximum: Upper bound of the others' sigmas, in pixels; None for no bound.

    Returns:
        (P,) float64, on the CPU.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: points are not finite or not (P, 2), or an option is out of range.

    Example:
        >>> geometry_adaptive_sigma(torch.tensor([[0.0, 0.0], [0.0, 10.0]]))  # 0.3 * 10
        tensor([3., 3.], dtype=torch.float64)
    """
    beta, neighbors, fallback, minimum, maximum = _rule(beta, neighbors, fallback, minimum, maximum)
    positions = as_points(points).cpu()
    people = len(positions)
    if people < 2:
        return torch.full((people,), fallback, dtype=torch.float64)

    from scipy.spatial import cKDTree  # here, because importing skt_ext must stay light

    coordinates = positions.numpy()
    others = min(neighbors, people - 1)
    distances, _ = cKDTree(coordinates).query(coordinates, k=others + 1)
    # The first column is the person itself, or somebody at the very same place: 0 in both cases.
    sigma = beta * distances[:, 1:].mean(axis=1)
    return torch.from_numpy(np.clip(sigma, minimum, maximum))


def nearest_neighbor_sigma(
    points: Tensor | npt.NDArray[Any], *, maximum: float = 30.0, minimum: float = 0.5
) -> Tensor:
    """sigma_i = min(distance to the nearest neighbour, maximum): the rule in use for UCF-QNRF.

    Args:
        points: (P, 2) [x, y] in pixels.
        maximum: Upper bound, in pixels, and the sigma of a person who is alone.
        minimum: Lower bound, in pixels; people at the very same place get it.

    Returns:
        (P,) float64, on the CPU.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: points are not finite or not (P, 2), or a bound is out of range.

    Example:
        >>> nearest_neighbor_sigma(torch.tensor([[0.0, 0.0], [0.0, 10.0], [0.0, 100.0]]))
        tensor([10., 10., 30.], dtype=torch.float64)
    """
    maximum = as_number("maximum", maximum, positive=True)
    return geometry_adaptive_sigma(
        points, beta=1.0, neighbors=1, fallback=maximum, minimum=minimum, maximum=maximum
    )


def geodesic_adaptive_sigma(
    points: Tensor | npt.NDArray[Any],
    roi: Tensor | npt.NDArray[Any],
    *,
    image: Tensor | npt.NDArray[Any] | None = None,
    geodesic_weight: float = 0.0,
    geodesic_gain: float = 10.0,
    beta: float = 0.3,
    neighbors: int = 3,
    fallback: float = 15.0,
    minimum: float = 0.5,
    maximum: float | None = None,
) -> Tensor:
    """sigma_i = beta * mean distance to the nearest neighbours, around walls: people behind one do not shrink a kernel.

    The distance is the straight line plus the detour in pixels, as in density_map. An extension of this library.

    Args:
        points: (P, 2) [x, y] in pixels.
        roi: (H, W) bool, True where people can be.
        image: (C, H, W) or (H, W), uint8 or float: with a weight above 0, a change of it is a detour, too.
        geodesic_weight: In [0, 1), as in density_map.
        geodesic_gain: As in density_map.
        beta: Factor of the mean distance.
        neighbors: How many neighbours the mean is over; with fewer in reach it is over those.
        fallback: Sigma, in pixels, of those who can reach nobody, and of people outside the ROI.
        minimum: Lower bound of the others' sigmas, in pixels.
        maximum: Upper bound of the others' sigmas, in pixels; None for no bound.

    Returns:
        (P,) float64, on the CPU.

    Raises:
        TypeError: An argument has the wrong type or dtype.
        ValueError: A shape or value does not fit.

    Example:
        >>> wall = torch.ones(9, 21, dtype=torch.bool)
        >>> wall[:, 10] = False
        >>> people = torch.tensor([[3.5, 4.5], [9.5, 4.5], [12.5, 4.5]])
        >>> geodesic_adaptive_sigma(people, wall, beta=1.0)
        tensor([ 6.,  6., 15.], dtype=torch.float64)
    """
    beta, neighbors, fallback, minimum, maximum = _rule(beta, neighbors, fallback, minimum, maximum)
    weight, gain = as_geodesic(geodesic_weight, geodesic_gain)
    positions = as_points(points).cpu()
    if not isinstance(roi, (Tensor, np.ndarray)) or roi.ndim != 2 or 0 in roi.shape:
        came = tuple(roi.shape) if isinstance(roi, (Tensor, np.ndarray)) else type(roi).__name__
        raise ValueError(f"roi must be a bool tensor or array (H, W) of at least one pixel, got {came}")
    shape = (int(roi.shape[0]), int(roi.shape[1]))
    region = as_region(roi, shape).cpu()
    values = None if image is None else as_image(image, shape).cpu()[None]
    if len(positions) == 0:
        return torch.empty(0, dtype=torch.float64)
    others = min(neighbors, max(len(positions) - 1, 1))
    distances = torch.ops.skt_ext.geodesic_neighbors(
        positions, others, *shape, region[None], values, weight, gain
    )
    found = distances.isfinite()
    mean = torch.where(found, distances, 0).sum(1) / found.sum(1)  # 0 / 0 = NaN where nobody was found
    sigma = (beta * mean).clamp(minimum, maximum)
    return torch.where(found.any(1), sigma, fallback)


def perspective_sigma(
    points: Tensor | npt.NDArray[Any], perspective: Tensor | npt.NDArray[Any], *, metres: float = 0.2
) -> Tensor:
    """sigma_i = metres * M(p_i): a length in metres, where a perspective map M says what a metre is in pixels.

    Zhang et al., "Cross-scene Crowd Counting via Deep Convolutional Neural Networks", CVPR 2015.

    Args:
        points: (P, 2) [x, y] in pixels; those outside the map take its nearest pixel.
        perspective: (H, W) pixels per metre, above 0.
        metres: Sigma in metres; 0.2 for a head in the paper.

    Returns:
        (P,) float64, on the CPU.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A shape or value does not fit.

    Example:
        >>> perspective_sigma(torch.tensor([[1.0, 0.0], [1.0, 3.0]]), torch.tensor([[10.0] * 2, [20.0] * 2]))
        tensor([2., 4.], dtype=torch.float64)
    """
    metres = as_number("metres", metres, positive=True)
    return metres * _pixels_per_metre(as_points(points).cpu(), perspective)


def head_and_body(
    points: Tensor | npt.NDArray[Any],
    perspective: Tensor | npt.NDArray[Any],
    *,
    head: float = 0.2,
    body: tuple[float, float] = (0.2, 0.5),
    body_below: float = 0.875,
) -> tuple[Tensor, Tensor]:
    """D(x) = sum over people of (N(x; head, s_h) + N(x; body, (s_x, s_y))) / Z: the kernels of WorldExpo'10's rule.

    Each person has two kernels, a round head and a long body; Z makes their sum one. Zhang et al., "Cross-scene Crowd
    Counting via Deep Convolutional Neural Networks", CVPR 2015.

    Args:
        points: (P, 2) [x, y] of the heads, in pixels; a person stands where the head is.
        perspective: (H, W) pixels per metre, above 0.
        head: Sigma of the head in metres.
        body: Sigmas of the body in metres, across and along.
        body_below: How far the middle of the body is below the head, in metres. The paper does not say; this is half
            of the 1.75 m for which WorldExpo'10's maps were made.

    Returns:
        points (P, 2, 2) and sigma (P, 2, 2), float64, on the CPU, for density_map(points, shape, sigma).

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A shape or value does not fit.

    Example:
        >>> points, sigma = head_and_body(torch.tensor([[8.0, 8.0]]), torch.full((32, 16), 10.0))
        >>> points.tolist(), sigma.tolist()
        ([[[8.0, 8.0], [8.0, 16.75]]], [[[2.0, 2.0], [2.0, 5.0]]])
    """
    head = as_number("head", head, positive=True)
    if not isinstance(body, (tuple, list)) or len(body) != 2:
        raise ValueError(f"body must be two sigmas (across, along), got {body!r}")
    across, along = (as_number(f"body[{i}]", value, positive=True) for i, value in enumerate(body))
    body_below = as_number("body_below", body_below, positive=False)
    heads = as_points(points).cpu()
    scale = _pixels_per_metre(heads, perspective)  # (P,)
    bodies = heads + scale[:, None] * torch.tensor([0.0, body_below], dtype=torch.float64)
    in_metres = torch.tensor([[head, head], [across, along]], dtype=torch.float64)  # (K, 2)
    return torch.stack([heads, bodies], dim=1), scale[:, None, None] * in_metres


def _pixels_per_metre(points: Tensor, perspective: Any) -> Tensor:
    """The perspective at points (P, 2): (P,) pixels per metre."""
    scale = as_float64("perspective", perspective, "(H, W)").cpu()
    if scale.ndim != 2 or 0 in scale.shape:
        raise ValueError(
            f"perspective must have shape (H, W) with at least one pixel, got {tuple(scale.shape)}"
        )
    if not (scale.isfinite() & (scale > 0)).all():
        raise ValueError("perspective must be finite and above 0, in pixels per metre")
    height, width = scale.shape
    column = points[:, 0].floor().clamp(0, width - 1).long()
    row = points[:, 1].floor().clamp(0, height - 1).long()
    return scale[row, column]


def _rule(
    beta: Any, neighbors: Any, fallback: Any, minimum: Any, maximum: Any
) -> tuple[float, int, float, float, float | None]:
    """The options that the adaptive rules share, checked."""
    beta = as_number("beta", beta, positive=True)
    neighbors = as_count("neighbors", neighbors)
    fallback = as_number("fallback", fallback, positive=True)
    minimum = as_number("minimum", minimum, positive=True)
    if maximum is not None:
        maximum = as_number("maximum", maximum, positive=True)
        if maximum < minimum:
            raise ValueError(f"maximum must be at least minimum, {minimum:g}, got {maximum:g}")
    return beta, neighbors, fallback, minimum, maximum
