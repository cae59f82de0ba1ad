"""Checks of people, sigmas, regions and images: they become float64, bool and float32 tensors, or a clear error."""

import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skt_ext._checks import as_count, as_number, check_dense, check_device

LARGEST_SIDE = 2**23  # pixels; float32 has no halves beyond it
LARGEST_RADIUS = 1_000_000  # pixels; beyond any image, and a kernel of this size still fits in memory
# A Gaussian of this sigma is one pixel, or two where the person stands exactly between them; squares of smaller ones
# would not be numbers any more.
SMALLEST_SIGMA = 1e-9
LARGEST_STEP = 1e30  # pixels that a change of 1 in one channel of the image is worth; float32 ends soon after


def as_float64(name: str, value: Any, expected: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.astype(np.float64, order="C"))  # also for foreign byte orders
    if not isinstance(value, Tensor):
        came = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a tensor or an array of numbers {expected}, got {came}")
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, got {value.dtype}")
    _check_constant(name, value)
    return value.to(torch.float64)


def _check_values(name: str, value: Tensor) -> None:
    """A map is made of values, which a meta tensor does not have."""
    check_dense(name, value)
    if value.is_meta:
        raise TypeError(f"{name} must have values, got a tensor on the device meta")


def _check_constant(name: str, value: Tensor) -> None:
    _check_values(name, value)
    if value.requires_grad:
        raise ValueError(f"{name} requires a gradient, which skt_ext does not compute: pass {name}.detach()")


def as_points(points: Any, name: str = "points") -> Tensor:
    """(P, 2) float64."""
    positions = as_float64(name, points, "(P, 2) of [x, y]")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(f"{name} must have shape (P, 2), [x, y] in each row, got {tuple(positions.shape)}")
    _check_finite(name, positions)
    return positions


def as_people(points: Any, name: str = "points") -> Tensor:
    """(P, K, 2) float64 from (P, 2) or (P, K, 2)."""
    positions = as_float64(name, points, "(P, 2) of [x, y]")
    if positions.ndim not in (2, 3) or positions.shape[-1] != 2 or 0 in positions.shape[1:]:
        raise ValueError(
            f"{name} must have shape (P, 2), [x, y] in each row, or (P, K, 2) with K kernels per person, "
            f"got {tuple(positions.shape)}"
        )
    _check_finite(name, positions)
    return positions if positions.ndim == 3 else positions[:, None]


def _check_finite(name: str, positions: Tensor) -> None:
    finite = positions.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        index = int((~finite).nonzero()[0])
        raise ValueError(f"{name} must be finite, got {name}[{index}] = {positions[index].tolist()}")


def as_sigma(sigma: Any, points: Tensor, truncate: float, name: str = "sigma") -> Tensor:
    """(P, K, 2) float64, [x, y], for points (P, K, 2), from one number, (P,), (P, 2), (P, K) or (P, K, 2)."""
    people, kernels, _ = points.shape
    if isinstance(sigma, numbers.Real):
        sigmas = points.new_full((people, kernels, 2), as_number(name, sigma, positive=True))
    else:
        if isinstance(sigma, Tensor):
            check_device(name, sigma, "points", points)
        sigmas = as_float64(name, sigma, "(P,), or a number")
        check_device(name, sigmas, "points", points)
        shapes: tuple[tuple[int, ...], ...]
        if kernels == 1:
            shapes, axes = ((people,), (people, 2)), f"(P,) = ({people},) or (P, 2) = ({people}, 2)"
        else:
            shapes = ((people, kernels), (people, kernels, 2))
            axes = f"(P, K) = ({people}, {kernels}) or (P, K, 2) = ({people}, {kernels}, 2)"
        if tuple(sigmas.shape) not in shapes:
            raise ValueError(f"{name} must be a number or have shape {axes}, got {tuple(sigmas.shape)}")
        if tuple(sigmas.shape) == shapes[0]:  # one for both axes
            sigmas = sigmas.unsqueeze(-1).expand(*sigmas.shape, 2)
        sigmas = sigmas.reshape(people, kernels, 2)
    usable = (sigmas >= SMALLEST_SIGMA) & (sigmas * truncate <= LARGEST_RADIUS)
    if usable.all():
        return sigmas
    usable |= (sigmas > 0) & (sigmas < SMALLEST_SIGMA)
    if not usable.all():
        person, kernel, axis = (~usable).nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be above 0 and truncate * sigma at most {LARGEST_RADIUS} pixels, "
            f"got {name}[{person}] = {sigmas[person, kernel, axis].item()}"
        )
    return sigmas.clamp(min=SMALLEST_SIGMA)


def as_shape(shape: Any) -> tuple[int, int]:
    if not isinstance(shape, (tuple, list, torch.Size)) or len(shape) != 2:
        raise ValueError(f"shape must be (H, W), got {shape!r}")
    height, width = as_count("shape[0]", shape[0]), as_count("shape[1]", shape[1])
    if max(height, width) > LARGEST_SIDE:
        raise ValueError(f"shape must be (H, W) of at most 2^23 pixels each, got {height} x {width}")
    return height, width


def as_region(roi: Any, shape: tuple[int, ...], axes: str = "(H, W)") -> Tensor:
    """A bool tensor of that shape."""
    if not isinstance(roi, (Tensor, np.ndarray)):
        raise TypeError(f"roi must be a bool tensor or array {axes}, got {type(roi).__name__}")
    if roi.dtype not in (torch.bool, np.bool_):
        raise TypeError(f"roi must be bool, True where people are counted, got {roi.dtype}")
    if tuple(roi.shape) != shape:
        raise ValueError(
            f"roi must have the shape {axes} of the map{'s' if len(shape) > 2 else ''}, {shape}, got {tuple(roi.shape)}"
        )
    if isinstance(roi, np.ndarray):
        return torch.from_numpy(np.array(roi, order="C"))
    _check_values("roi", roi)
    return roi


def as_image(image: Any, shape: tuple[int, int], batch: tuple[int, ...] = ()) -> Tensor:
    """(*batch, C, H, W) float32 from (C, H, W) or (H, W) of uint8 or floats; uint8 becomes value / 255."""
    axes = f"({'B, ' if batch else ''}C, H, W)"
    if isinstance(image, np.ndarray) and image.dtype.kind in "fu":
        # A copy, because torch takes neither steps backwards nor foreign byte orders, and warns of read-only arrays.
        image = torch.from_numpy(np.array(image, dtype=image.dtype.newbyteorder("="), order="C"))
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a tensor or array {axes}, got {type(image).__name__}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"image must be uint8 or floating point, got {image.dtype}")
    _check_constant("image", image)
    without_channels = image.ndim == len(batch) + 2
    fits = without_channels or image.ndim == len(batch) + 3
    if not fits or tuple(image.shape[: len(batch)]) != batch or tuple(image.shape[-2:]) != shape:
        expected = ", ".join([*map(str, batch), "C", *map(str, shape)])
        raise ValueError(f"image must have shape {axes} = ({expected}), got {tuple(image.shape)}")
    if without_channels:
        image = image.unsqueeze(-3)
    values: Tensor = image.to(torch.float32) / 255 if image.dtype == torch.uint8 else image.to(torch.float32)
    values = values.contiguous()
    if not values.sum(dtype=torch.float64).isfinite():  # a sum of finite float32 is finite
        raise ValueError("image must be finite")
    return values


def as_geodesic(weight: Any, gain: Any) -> tuple[float, float]:
    """geodesic_weight in [0, 1) and geodesic_gain."""
    weight = as_number("geodesic_weight", weight, positive=False)
    if weight >= 1:
        raise ValueError(f"geodesic_weight must be below 1, got {weight:g}")
    gain = as_number("geodesic_gain", gain, positive=False)
    step = weight / (1 - weight) * gain
    if step > LARGEST_STEP:
        raise ValueError(
            f"geodesic_gain * geodesic_weight / (1 - geodesic_weight) must be at most {LARGEST_STEP}, got {step}"
        )
    return weight, gain
