"""Count the people in a photograph."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skt_crowd.data import read_image
from skt_crowd.efficiency.memory import DEFAULT_BUDGET
from skt_crowd.errors import SktError
from skt_crowd.files import write_text
from skt_crowd.inference.predictor import Predictor
from skt_crowd.inference.protocols import WHOLE, Protocol
from skt_crowd.models import CrowdModel


@dataclass(frozen=True, eq=False)
class CountResult:
    """The count and the density map of one image file."""

    path: Path
    count: float  # sum of the density map; a model without output activation may come out slightly below zero
    height: int  # of the image as viewers show it, after EXIF rotation
    width: int
    seconds: float  # from decoded pixels to the density map; reading the file is not included
    density: np.ndarray  # (ceil(H / stride), ceil(W / stride)) float32, people per cell
    stride: int  # pixels along the side of a cell
    passes: int = 1  # how often the model ran: once, or once for each tile
    precision: str = "float32"  # of the convolutions

    @property
    def people(self) -> int:
        """The count as a whole number, never negative."""
        return max(0, round(self.count))


def count_image(
    model: CrowdModel,
    path: Path,
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    protocol: Protocol = WHOLE,
    memory_budget: int = DEFAULT_BUDGET,
    region: np.ndarray | None = None,
) -> CountResult:
    """Count the people in an image file of any size.

    Args:
        model: a crowd counting model on ``device``; its mode is the same afterwards.
        path: JPEG, PNG or another format that Pillow reads; rotated as its EXIF data says, gray images
            included.
        device: where to compute.
        precision: "float32", "bfloat16" or "auto".
        protocol: how the image is sized and cut. The default counts it whole, with exact tiles where one pass
            would not fit the memory.
        memory_budget: bytes above the weights that counting may take, the decoded image included.
        region: (H, W) bool, people are counted inside it; None: everywhere.

    Raises:
        SktError: an image that cannot be read, or a model whose output is not finite.
        UsageError: the image does not fit the budget and tiles are not exact for this model, or a region of
            another size.
    """
    path = Path(path)
    image = read_image(path)
    start = time.perf_counter()
    predictor = Predictor(model, device=device, precision=precision, memory_budget=memory_budget)
    prediction = protocol.predict(predictor, image)
    if region is not None:
        prediction = prediction.inside(region, str(path))
    seconds = time.perf_counter() - start
    if not np.isfinite(prediction.count):
        raise SktError(
            f"{path}: the model's density map is not finite; its weights are damaged or have diverged"
        )
    height, width = image.shape[:2]
    stride = model.output_stride
    density = prediction.on_cells(stride)
    return CountResult(
        path,
        prediction.count,
        height,
        width,
        seconds,
        density,
        stride,
        prediction.passes,
        predictor.precision,
    )


def counts_as_json(results: Sequence[CountResult], context: Mapping[str, Any] | None = None) -> str:
    """``context`` (model, device ...) and one object per image: path, count, people, height, width, ...

    Example:
        >>> import numpy as np
        >>> result = CountResult(Path("a.jpg"), 3.2, 480, 640, 0.5, np.zeros((60, 80), np.float32), 8)
        >>> json.loads(counts_as_json([result]))["images"][0]["people"]
        3
    """
    images = [
        {
            "path": str(result.path),
            "count": round(result.count, 3),
            "people": result.people,
            "height": result.height,
            "width": result.width,
            "passes": result.passes,
            "precision": result.precision,
            "seconds": round(result.seconds, 4),
        }
        for result in results
    ]
    return (
        json.dumps({**(context or {}), "images": images}, indent=2, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def write_counts(
    path: Path, results: Sequence[CountResult], context: Mapping[str, Any] | None = None
) -> None:
    """Write ``counts_as_json`` to a file. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    write_text(path, counts_as_json(results, context))
