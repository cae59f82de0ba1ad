"""Targets of training: people per cell, made from points."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box
from skt_crowd.settings import Settings
from skt_ext.density import density_map, downsample_density, geometry_adaptive_sigma, perspective_sigma

Boundary = Literal["conserve", "clip"]

# A kernel reaches int(TRUNCATE * sigma + 0.5) pixels to each side, as in scipy and in the seeds' scripts.
TRUNCATE = 4.0


class SigmaRule(Settings):
    """The sigma of the Gaussian that stands for one person, in pixels.

    ``adaptive``: beta times the mean distance to the nearest neighbours (Zhang et al., CVPR 2016, section
    2.2), at least `minimum` and at most `maximum`; a person alone in the image gets `fallback` itself.
    ``fixed``: `value` for everyone.
    ``perspective``: `metres` times the perspective map's pixels per metre at the person, at least `minimum`
    and at most `maximum` (Zhang et al., CVPR 2015, take 0.2 m for a head).

    Raises:
        UsageError: a number is out of range.

    Example:
        >>> SigmaRule(kind="fixed", value=4.0).sigmas(np.zeros((2, 2)))
        array([4., 4.])
    """

    kind: Literal["adaptive", "fixed", "perspective"] = "adaptive"
    beta: float = Field(default=0.3, gt=0)
    neighbors: int = Field(default=3, ge=1)
    fallback: float = Field(default=15.0, gt=0)
    minimum: float = Field(default=0.5, gt=0)
    maximum: float | None = Field(default=None, gt=0)
    value: float = Field(default=15.0, gt=0)
    metres: float = Field(default=0.2, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> SigmaRule:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum: expected at least the minimum {self.minimum}, got {self.maximum}")
        return self

    def sigmas(self, points: np.ndarray, perspective: np.ndarray | None = None) -> np.ndarray:
        """The sigma of each person.

        Args:
            points: (P, 2) float64 [x, y].
            perspective: (H, W) float64, pixels per metre; the rule ``perspective`` needs it.

        Returns:
            (P,) float64, pixels.

        Raises:
            UsageError: the rule is ``perspective``, and there is no map.
        """
        if self.kind == "fixed":
            return np.full(len(points), self.value)
        if self.kind == "perspective":
            if perspective is None:
                raise UsageError("sigma kind perspective: the images have no perspective map")
            by_length = perspective_sigma(points, perspective, metres=self.metres)
            return np.asarray(np.clip(by_length.numpy(), self.minimum, self.maximum))
        sigma = geometry_adaptive_sigma(
            torch.from_numpy(points),
            beta=self.beta,
            neighbors=self.neighbors,
            fallback=self.fallback,
            minimum=self.minimum,
            maximum=self.maximum,
        )
        return np.asarray(sigma)


def make_density(
    points: np.ndarray,
    sigma: np.ndarray,
    shape: tuple[int, int],
    *,
    box: Box | None = None,
    boundary: Boundary = "conserve",
    roi: np.ndarray | None = None,
    image: np.ndarray | None = None,
    geodesic_weight: float | None = None,
    geodesic_gain: float = 10.0,
) -> torch.Tensor:
    """The image's density map, sum_i G(p - p_i; sigma_i), inside a box: people per pixel.

    Equal to the same box cut from the whole image's map, but only people whose kernels reach the box are
    drawn. Someone beside the box contributes the part of the kernel that reaches into it, so the sum is close
    to the number of people in the box, and equal to it where the box is the whole image and `boundary` is
    ``"conserve"``.

    Args:
        points: (P, 2) float64 [x, y] of the whole image.
        sigma: (P,) float64, pixels.
        shape: (H, W) of the whole image.
        box: the part that is wanted, which may end beyond the image (zeros there); None for the whole image.
        boundary: ``"conserve"``: each person sums to one inside the image; ``"clip"``: kernels are cut at its
            border and lose mass there.
        roi: (H, W) bool of the whole image, True where people are counted; kernels end there as at the
            image's border. None for the whole image.
        image: (H, W, 3) uint8, whose outlines a geodesic map keeps to.
        geodesic_weight: as in ``skt_ext.density.density_map``; None for straight distances.
        geodesic_gain: as there.

    Returns:
        (bottom - top, right - left) float32.
    """
    height, width = shape
    box = box if box is not None else Box(0, 0, height, width)
    reach = np.floor(TRUNCATE * sigma + 0.5)  # (P,)
    column, row = np.floor(points[:, 0]), np.floor(points[:, 1])
    near = (
        (column + reach >= box.left)
        & (column - reach < box.right)
        & (row + reach >= box.top)
        & (row - reach < box.bottom)
    )
    density = torch.zeros(box.bottom - box.top, box.right - box.left)
    if not near.any():
        return density
    column, row, reach = column[near], row[near], reach[near]
    # The smallest part of the image that holds these kernels whole, so that the border is cut as in the
    # whole image and nowhere else.
    top = int(max(0, min(box.top, (row - reach).min())))
    left = int(max(0, min(box.left, (column - reach).min())))
    bottom = int(min(height, max(box.bottom, (row + reach).max() + 1)))
    right = int(min(width, max(box.right, (column + reach).max() + 1)))
    around = density_map(
        torch.from_numpy(points[near] - (left, top)),
        (bottom - top, right - left),
        torch.from_numpy(sigma[near]),
        truncate=TRUNCATE,
        boundary=boundary,
        roi=None if roi is None else roi[top:bottom, left:right],
        image=None
        if image is None
        else np.ascontiguousarray(image[top:bottom, left:right].transpose(2, 0, 1)),
        geodesic_weight=geodesic_weight,
        geodesic_gain=geodesic_gain,
    )
    inside = around[box.top - top : box.bottom - top, box.left - left : box.right - left]
    density[: inside.shape[0], : inside.shape[1]] = inside
    return density


def make_target(
    points: np.ndarray,
    sigma: np.ndarray,
    shape: tuple[int, int],
    *,
    box: Box | None = None,
    stride: int = 8,
    boundary: Boundary = "conserve",
    roi: np.ndarray | None = None,
) -> torch.Tensor:
    """People per cell of stride x stride pixels: block sums of ``make_density``, which lose nobody.

    Arguments as for ``make_density``. Returns (ceil(h / stride), ceil(w / stride)) float32 for an h x w box.

    Example:
        >>> points = np.array([[20.0, 9.0], [40.0, 30.0]])
        >>> target = make_target(points, np.array([2.0, 2.0]), (33, 50))
        >>> tuple(target.shape), round(target.sum().item(), 4)
        ((5, 7), 2.0)
    """
    return downsample_density(make_density(points, sigma, shape, box=box, boundary=boundary, roi=roi), stride)
