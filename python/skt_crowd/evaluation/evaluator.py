"""Count the people in whole images and judge the counts against annotated points."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from skt_crowd.data.images import normalize_image
from skt_crowd.data.samples import CrowdDataset
from skt_crowd.errors import SktError
from skt_crowd.evaluation.metrics import (
    mean_absolute_error,
    normalized_absolute_error,
    root_mean_squared_error,
)
from skt_crowd.models.precision import autocast_for


@dataclass(frozen=True)
class ImageResult:
    """The count of one image: predicted (the sum of its map) and actual (the number of its points)."""

    name: str
    predicted: float
    actual: int
    height: int
    width: int

    @property
    def error(self) -> float:
        """Predicted minus actual: negative when people were missed."""
        return self.predicted - self.actual


@dataclass(frozen=True)
class Evaluation:
    """Counts of a set of images and their errors: MAE and RMSE in people (eq. 9), NAE as a share."""

    images: tuple[ImageResult, ...]

    @cached_property
    def mae(self) -> float:
        return mean_absolute_error(self.predicted, self.actual)

    @cached_property
    def rmse(self) -> float:
        return root_mean_squared_error(self.predicted, self.actual)

    @cached_property
    def nae(self) -> float:
        return normalized_absolute_error(self.predicted, self.actual)

    @property
    def predicted(self) -> list[float]:
        return [image.predicted for image in self.images]

    @property
    def actual(self) -> list[int]:
        return [image.actual for image in self.images]


def evaluate(
    model: nn.Module,
    dataset: CrowdDataset,
    indices: Iterable[int],
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    on_image: Callable[[ImageResult], None] | None = None,
) -> Evaluation:
    """Count whole images one by one and compare with their points, never with the sum of a density map.

    Args:
        model: a crowd counter on ``device``; it counts in evaluation mode and gets its own modes back
            afterwards.
        dataset: samples with images and points; points outside an image do not count.
        indices: which samples, in which order.
        device: where the images go.
        precision: "float32", "bfloat16" or "auto".
        on_image: called with each result as it comes, for a progress bar or a log.

    Raises:
        SktError: an image that cannot be read, or an output that is not finite; names the image.
        UsageError: no indices.
    """
    results = []
    for index in indices:
        sample = dataset[index]
        density = predict(model, sample.image, device=device, precision=precision)
        predicted = count_people(density)
        if not np.isfinite(predicted):
            raise SktError(f"{sample.name}: the model's density map is not finite; its training has diverged")
        height, width = sample.image.shape[:2]
        result = ImageResult(sample.name, predicted, len(sample.points), height, width)
        results.append(result)
        if on_image is not None:
            on_image(result)
    evaluation = Evaluation(tuple(results))
    _ = evaluation.mae  # an empty evaluation fails here and not in a report later
    return evaluation


def predict(
    model: nn.Module, image: np.ndarray, *, device: torch.device | str = "cpu", precision: str = "float32"
) -> np.ndarray:
    """The density map of one whole image of any size.

    Args:
        model: a crowd counter on ``device``, in any mode; its modes are the same afterwards.
        image: ``(H, W, 3)`` uint8 RGB.
        device: where to compute.
        precision: "float32", "bfloat16" or "auto".

    Returns:
        ``(ceil(H / stride), ceil(W / stride))`` float32, people per cell.
    """
    batch = normalize_image(image).unsqueeze(0)  # (1, 3, H, W)
    batch = batch.to(device).contiguous(memory_format=torch.channels_last)  # convolutions are faster this way
    with evaluation_mode(model), torch.inference_mode(), autocast_for(precision, device):
        density: torch.Tensor = model(batch)  # (1, 1, h, w)
    result: np.ndarray = density[0, 0].detach().float().cpu().numpy()
    return result


def count_people(density: np.ndarray) -> float:
    """The sum of a density map, added up in float64: people."""
    return float(density.sum(dtype=np.float64))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module is in the mode it had, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
