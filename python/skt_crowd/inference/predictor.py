"""Run a model on an image of any size within a budget of memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from skt_crowd.data import normalize_image
from skt_crowd.device import autocast_for, resolve_precision
from skt_crowd.efficiency.memory import DEFAULT_BUDGET, GIB, activation_bytes_per_pixel
from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box
from skt_crowd.inference.prediction import MapPart, Prediction
from skt_crowd.inference.tiling import halo_tiles, tile_side
from skt_crowd.models import CrowdModel

# Convolution libraries copy a layer's input or output into a layout of their own, and the process grows around
# the tensors; measured in tests/inference/test_memory_budget.py.
WORKSPACE = 1.5
RESERVE = 192 * 2**20  # bytes: libraries and threads that start with the first pass
SMALL_IMAGE = 512 * 512  # pixels; a smaller image is never worth planning tiles for

# Bytes of activations for each pixel, of models that are still there: measured once, not for every image.
_measured: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


class Predictor:
    """A model with its device, its precision and the memory it may take.

    Args:
        model: on ``device``, in any mode; its modes are the same after each call.
        device: where to compute.
        precision: "float32", "bfloat16" or "auto".
        memory_budget: bytes above the weights that counting one image may take, its decoded pixels included.
    """

    def __init__(
        self,
        model: CrowdModel,
        *,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        memory_budget: int = DEFAULT_BUDGET,
    ) -> None:
        self.model = model
        self.device = torch.device(device)
        self.precision = resolve_precision(precision, self.device)
        self.memory_budget = memory_budget
        weight = next(iter(model.parameters()), None)
        self._dtype = torch.float64 if weight is not None and weight.dtype == torch.float64 else torch.float32

    def whole(self, image: np.ndarray) -> Prediction:
        """The map of the whole image: in one pass where that fits the budget, else from exact tiles.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            UsageError: one pass does not fit, and tiles are not exact for this model.
        """
        height, width = image.shape[:2]
        if height * width <= SMALL_IMAGE or height * width <= self._most_pixels(image):
            return self.parts(image, [Box(0, 0, height, width)])
        reason = self._why_tiles_differ(height, width)
        if reason:
            needed = self._bytes_per_pixel * height * width + image.nbytes + RESERVE
            raise UsageError(
                f"{self.model.label}: an image of {width} x {height} pixels takes about {needed / GIB:.1f} GiB in one "
                f"pass, the memory budget is {self.memory_budget / GIB:.1f} GiB, and tiles would change the count "
                f"({reason}); give a larger --memory-budget, or accept an approximation, which the result names: "
                "--protocol released-tiles-512"
            )
        side = tile_side((height, width), self.model.tiling, self._most_pixels(image))
        return self.tiles(image, side)

    def tiles(self, image: np.ndarray, side: tuple[int, int]) -> Prediction:
        """The map of the whole image, put together from tiles that each see a halo around themselves.

        Equal to one pass over the whole image up to rounding.

        Args:
            image: (H, W, 3) uint8 RGB.
            side: largest (height, width) of a tile without its halo, pixels.

        Raises:
            UsageError: tiles are not exact for this model.
        """
        height, width = image.shape[:2]
        reason = self._why_tiles_differ(height, width)
        if reason:
            raise UsageError(
                f"{self.model.label}: no halo makes the map of a tile equal to that part of the whole map ({reason}); "
                "--protocol whole counts the image at once"
            )
        stride = self.model.output_stride
        plan = halo_tiles((height, width), self.model.tiling, side)
        if len(plan) == 1:
            return self.parts(image, [Box(0, 0, height, width)])
        kind = np.float64 if self._dtype == torch.float64 else np.float32
        density = np.empty((-(-height // stride), -(-width // stride)), kind)  # (h, w)
        for core, seen in plan:
            around = self._run(image, seen)
            top, left = core.top // stride, core.left // stride
            rows, columns = -(-core.bottom // stride) - top, -(-core.right // stride) - left
            first, start = (core.top - seen.top) // stride, (core.left - seen.left) // stride
            density[top : top + rows, left : left + columns] = around[
                first : first + rows, start : start + columns
            ]
        whole = MapPart(density, Box(0, 0, height, width), (stride, stride))
        return Prediction(height, width, (whole,), passes=len(plan))

    def parts(self, image: np.ndarray, boxes: Sequence[Box]) -> Prediction:
        """The maps of parts of the image, each seen alone: one for each box; the boxes cover the image once."""
        stride = self.model.output_stride
        parts = tuple(MapPart(self._run(image, box), box, (stride, stride)) for box in boxes)
        return Prediction(image.shape[0], image.shape[1], parts, passes=len(parts))

    def _run(self, image: np.ndarray, box: Box) -> np.ndarray:
        """One pass over a box: (ceil(h / stride), ceil(w / stride)) people per cell.

        Only this part of the image ever becomes floating point.
        """
        # Not kept here, so that it is gone once it has the layout of the convolutions.
        return self._forward(normalize_image(image[box.top : box.bottom, box.left : box.right]).unsqueeze(0))

    def _forward(self, batch: torch.Tensor) -> np.ndarray:
        """(1, 3, h, w) normalised -> the map."""
        # Convolutions are faster in this layout.
        batch = batch.to(self.device, self._dtype).contiguous(memory_format=torch.channels_last)
        with evaluation_mode(self.model), torch.inference_mode(), autocast_for(self.precision, self.device):
            density: torch.Tensor = self.model(batch)  # (1, 1, h, w)
        result: np.ndarray = density[0, 0].detach().to(self._dtype).cpu().numpy()
        return result

    def _why_tiles_differ(self, height: int, width: int) -> str:
        """Why tiles of an image of this size are not exact; empty where they are."""
        tiling = self.model.tiling
        if not tiling.exact:
            return tiling.reason
        if height % tiling.sides or width % tiling.sides:
            return f"exact only where both sides are multiples of {tiling.sides}: {tiling.reason}"
        return ""

    def _most_pixels(self, image: np.ndarray) -> int:
        """How many pixels fit into one pass beside the decoded image; 0 or less where none do."""
        return int((self.memory_budget - image.nbytes - RESERVE) / self._bytes_per_pixel)

    @property
    def _bytes_per_pixel(self) -> float:
        """Bytes of activations and workspace in float32; bfloat16 takes less."""
        if self.model not in _measured:
            exact = Predictor(self.model, device=self.device)
            _measured[self.model] = activation_bytes_per_pixel(
                lambda side: exact._forward(torch.zeros(1, 3, side, side))
            )
        return WORKSPACE * _measured[self.model]


def predict(
    model: CrowdModel, image: np.ndarray, *, device: torch.device | str = "cpu", precision: str = "float32"
) -> np.ndarray:
    """The density map of one whole image of any size, within the default budget of memory.

    Args:
        model: a crowd counting model on ``device``, in any mode; its modes are the same afterwards.
        image: ``(H, W, 3)`` uint8 RGB.
        device: where to compute.
        precision: "float32", "bfloat16" or "auto".

    Returns:
        ``(ceil(H / stride), ceil(W / stride))`` float32 (float64 for a model in float64), people per cell.
    """
    return Predictor(model, device=device, precision=precision).whole(image).parts[0].density


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
