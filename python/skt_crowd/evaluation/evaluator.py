"""Count the people in images by a protocol and compare the counts with the annotation."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast, get_args

import numpy as np
import torch

from skt_crowd.data import CrowdDataset, CrowdSample, make_density
from skt_crowd.efficiency.memory import DEFAULT_BUDGET
from skt_crowd.errors import SktError, UsageError
from skt_crowd.evaluation.intervals import Interval, bootstrap_intervals
from skt_crowd.evaluation.map_quality import (
    enlarge,
    grid_average_errors,
    peak_signal_to_noise,
    structural_similarity,
)
from skt_crowd.evaluation.metrics import (
    mean_absolute_error,
    normalized_absolute_error,
    root_mean_squared_error,
)
from skt_crowd.inference import WHOLE, Prediction, Predictor, Protocol
from skt_crowd.inference.prediction import sum_between
from skt_crowd.models import CrowdModel

MapQuality = Literal["none", "cells", "pixels"]


@dataclass(frozen=True)
class ImageResult:
    """The count of one image beside its annotation.

    Attributes:
        predicted: the sum of the map, inside the region of interest where there is one.
        actual: the number of points, or the sum of a density map where the protocol says so.
        passes: how often the model ran for this image.
        game: GAME(0) to GAME(3), always against the points.
        psnr, ssim: None where they were not asked for.
    """

    name: str
    predicted: float
    actual: float
    height: int
    width: int
    passes: int = 1
    game: tuple[float, ...] = ()
    psnr: float | None = None
    ssim: float | None = None

    @property
    def error(self) -> float:
        """Predicted minus actual: negative when people were missed."""
        return self.predicted - self.actual


@dataclass(frozen=True)
class Evaluation:
    """Counts of a set of images and their errors: MAE and RMSE in people (eq. 9), NAE as a share.

    ``game`` holds the means of GAME(0) to GAME(3) over the images; ``psnr`` and ``ssim`` the means over images
    with people (equal maps, of infinite PSNR, left out), None where they were not asked for.
    """

    images: tuple[ImageResult, ...]
    protocol: Protocol = WHOLE
    map_quality: MapQuality = "none"
    precision: str = "float32"

    @cached_property
    def mae(self) -> float:
        return mean_absolute_error(self.predicted, self.actual)

    @cached_property
    def rmse(self) -> float:
        return root_mean_squared_error(self.predicted, self.actual)

    @cached_property
    def nae(self) -> float:
        return normalized_absolute_error(self.predicted, self.actual)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals of ``mae``, ``rmse`` and ``nae`` over the images."""
        return bootstrap_intervals(self.predicted, self.actual)

    @cached_property
    def game(self) -> tuple[float, ...]:
        levels = zip(*(image.game for image in self.images), strict=True)
        return tuple(float(np.mean(errors)) for errors in levels)

    @cached_property
    def psnr(self) -> float | None:
        return _mean_of_finite([image.psnr for image in self.images])

    @cached_property
    def ssim(self) -> float | None:
        return _mean_of_finite([image.ssim for image in self.images])

    @property
    def predicted(self) -> list[float]:
        return [image.predicted for image in self.images]

    @property
    def actual(self) -> list[float]:
        return [image.actual for image in self.images]


def evaluate(
    model: CrowdModel,
    dataset: CrowdDataset,
    indices: Iterable[int],
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    protocol: Protocol = WHOLE,
    memory_budget: int = DEFAULT_BUDGET,
    region: np.ndarray | None = None,
    map_quality: MapQuality = "none",
    on_image: Callable[[ImageResult], None] | None = None,
) -> Evaluation:
    """Count images one by one as a protocol says and compare with their points.

    Args:
        model: a crowd counting model on ``device``; it counts in evaluation mode and gets its own modes back
            afterwards.
        dataset: samples with images and points; points outside an image do not count.
        indices: which samples, in which order.
        device: where the images go.
        precision: "float32", "bfloat16" or "auto".
        protocol: how images are sized and cut, and what counts are compared with; see ``PROTOCOLS``.
        memory_budget: bytes above the weights that counting one image may take.
        region: (H, W) bool for all images, a region of interest: only people inside it count, and each
            cell of the map counts with the share of its area inside. None: the samples' own, where they have one.
        map_quality: PSNR and SSIM against the map made of the points, on the cells of the model's output, or
            on the image's pixels with the prediction enlarged bilinearly, as CSRNet's authors do; "none": neither.
        on_image: called with each result as it comes, for a progress bar or a log.

    Raises:
        SktError: an image that cannot be read, or an output that is not finite; names the image.
        UsageError: no indices, or a model, protocol, region and memory budget that do not go together.
    """
    predictor = Predictor(model, device=device, precision=precision, memory_budget=memory_budget)
    results = []
    for index in indices:
        result = _evaluate_one(predictor, dataset[index], protocol, region, map_quality)
        results.append(result)
        if on_image is not None:
            on_image(result)
    evaluation = Evaluation(tuple(results), protocol, map_quality, predictor.precision)
    _ = evaluation.mae  # an empty evaluation fails here and not in a report later
    return evaluation


def require_map_quality(name: str) -> MapQuality:
    """A value for ``map_quality``, checked.

    Raises:
        UsageError: another value.
    """
    if name not in get_args(MapQuality):
        raise UsageError(f"map quality: expected {', '.join(get_args(MapQuality))}, got {name!r}")
    return cast(MapQuality, name)


def _evaluate_one(
    predictor: Predictor,
    sample: CrowdSample,
    protocol: Protocol,
    region: np.ndarray | None,
    map_quality: MapQuality,
) -> ImageResult:
    region = region if region is not None else sample.roi
    if region is None and protocol.needs_region:
        raise UsageError(f"{sample.name}: protocol {protocol.name} needs a region of interest; there is none")
    height, width = sample.image.shape[:2]
    prediction = protocol.predict(predictor, sample.image)
    points = sample.points
    if region is not None:
        prediction = prediction.inside(region, sample.name)
        column, row = points.astype(np.int64).T
        points = points[region[row, column] > 0]
    if not math.isfinite(prediction.count):
        raise SktError(f"{sample.name}: the model's density map is not finite; its training has diverged")

    actual: float = len(points)
    psnr = ssim = None
    if protocol.truth == "map" or map_quality != "none":
        sigma = protocol.sigma.sigmas(sample.points)
        truth = make_density(sample.points, sigma, (height, width), boundary=protocol.boundary).numpy()
        if region is not None:
            truth = truth * region
        if protocol.truth == "map":
            actual = float(truth.sum(dtype=np.float64))
        if map_quality != "none":
            maps = _maps_to_compare(prediction, truth, predictor.model.output_stride, map_quality)
            psnr, ssim = peak_signal_to_noise(*maps), structural_similarity(*maps)
    game = grid_average_errors(prediction, points)
    return ImageResult(
        sample.name, prediction.count, actual, height, width, prediction.passes, game, psnr, ssim
    )


def _maps_to_compare(
    prediction: Prediction, truth: np.ndarray, stride: int, map_quality: MapQuality
) -> tuple[np.ndarray, np.ndarray]:
    """The predicted map and the truth, made of people per pixel (H, W), on the same grid."""
    cells = prediction.on_cells(stride)
    if map_quality == "pixels":
        return enlarge(cells, stride, (prediction.height, prediction.width)), truth
    tops, lefts = (np.arange(cells.shape[axis] + 1.0) * stride for axis in (0, 1))
    rows = sum_between(truth, np.arange(prediction.height + 1.0), tops)
    return cells, sum_between(rows.T, np.arange(prediction.width + 1.0), lefts).T


def _mean_of_finite(values: list[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(finite)) if finite else None
