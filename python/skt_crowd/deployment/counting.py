"""Count the people in a photograph."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from skt_crowd.data.images import read_image
from skt_crowd.errors import SktError
from skt_crowd.evaluation.evaluator import count_people, predict
from skt_crowd.models.base import CrowdCounter


@dataclass(frozen=True, eq=False)
class CountResult:
    """What a model saw in one image file."""

    path: Path
    count: float  # sum of the density map; a model without output activation may come out slightly below zero
    height: int  # of the image as it is shown, after EXIF rotation
    width: int
    seconds: float  # from decoded pixels to the density map; reading the file is not included
    density: np.ndarray  # (ceil(H / stride), ceil(W / stride)) float32, people per cell
    stride: int  # pixels along the side of a cell

    @property
    def people(self) -> int:
        """The count as a person would say it: a whole number, never negative."""
        return max(0, round(self.count))


def count_image(
    model: CrowdCounter, path: Path, *, device: torch.device | str = "cpu", precision: str = "float32"
) -> CountResult:
    """Count the people in an image file of any size, whole, in one pass.

    Args:
        model: a crowd counter on ``device``; its mode is the same afterwards.
        path: JPEG, PNG or another format that Pillow reads; rotated as its EXIF data says, gray images
            included.
        device: where to compute.
        precision: "float32", "bfloat16" or "auto".

    Raises:
        SktError: an image that cannot be read, or a model whose output is not finite.
    """
    path = Path(path)
    image = read_image(path)
    start = time.perf_counter()
    density = predict(model, image, device=device, precision=precision)
    seconds = time.perf_counter() - start
    count = count_people(density)
    if not np.isfinite(count):
        raise SktError(
            f"{path}: the model's density map is not finite; its weights are damaged or have diverged"
        )
    height, width = image.shape[:2]
    return CountResult(path, count, height, width, seconds, density, model.output_stride)
