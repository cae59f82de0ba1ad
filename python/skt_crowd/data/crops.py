"""Random crops for training, reproducible one by one, and their batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from skt_crowd.data.images import normalize_image
from skt_crowd.data.samples import CrowdDataset
from skt_crowd.data.targets import Boundary, SigmaRule, make_target
from skt_crowd.data.visibility import VisibilityRule
from skt_crowd.errors import SktError, UsageError
from skt_crowd.geometry import flip_horizontally, points_inside, random_box

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Keep what was used last, at most `capacity` bytes of it; a value larger than that is never kept.

    Example:
        >>> cache = ByteCache[bytes](10, len)
        >>> cache.get("a", lambda: b"12345678"), cache.get("a", lambda: b"not asked for")
        (b'12345678', b'12345678')
    """

    def __init__(self, capacity: int, size_of: Callable[[Value], int]) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self.bytes_held = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value kept under `key`, or `make()`, which is then kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        size = self._size_of(value)
        if size <= self._capacity:
            self._values[key] = value
            self.bytes_held += size
            while self.bytes_held > self._capacity:
                _, dropped = self._values.popitem(last=False)
                self.bytes_held -= self._size_of(dropped)
        return value


# Streams of random numbers that must not overlap: the order of an epoch, and the crop of an item.
_ORDER, _CROP = 0, 1


class TrainingCrop(NamedTuple):
    """One crop; ``TrainingBatch.of`` puts several together."""

    image: torch.Tensor  # (3, crop, crop) float32, normalised by ImageNet's mean and standard deviation
    target: torch.Tensor  # (1, ceil(crop / stride), ceil(crop / stride)) float32, people per cell
    people: torch.Tensor  # () float32, number of points in the crop
    points: torch.Tensor  # (K, 3) float32: x, y and how much is visible; (0, 3) without a rule
    shorter_side: float  # min(H, W) of the image that the crop is cut from, pixels


class TrainingBatch(NamedTuple):
    """Crops of one size."""

    image: torch.Tensor  # (N, 3, crop, crop) float32
    target: torch.Tensor  # (N, 1, h, w) float32, people per cell
    people: torch.Tensor  # (N,) float32
    points: tuple[torch.Tensor, ...]  # N times (K_i, 3): crops hold different numbers of people
    shorter_sides: tuple[float, ...]  # (N,) pixels

    @classmethod
    def of(cls, crops: Sequence[TrainingCrop]) -> TrainingBatch:
        """Stack crops, as the ``collate_fn`` of a DataLoader."""
        image, target, people, points, sides = zip(*crops, strict=True)
        return cls(torch.stack(image), torch.stack(target), torch.stack(people), points, sides)

    def to(
        self, device: torch.device, layout: torch.memory_format = torch.contiguous_format
    ) -> TrainingBatch:
        """The batch on a device, its images in a memory format."""
        return TrainingBatch(
            self.image.to(device, non_blocking=True, memory_format=layout),
            self.target.to(device, non_blocking=True),
            self.people,
            tuple(crowd.to(device, non_blocking=True) for crowd in self.points),
            self.shorter_sides,
        )


class _Decoded(NamedTuple):
    image: np.ndarray  # (H, W, 3) uint8
    points: np.ndarray  # (P, 2) float64
    sigma: np.ndarray  # (P,) float64
    boxes: np.ndarray  # (P,) float64, sides of the heads' squares; (0,) without a visibility rule
    roi: np.ndarray | None  # (H, W) bool


class TrainingCrops(Dataset[TrainingCrop]):
    """Item i is a random crop of a random image, and depends on nothing but (seed, i).

    Items 0 to n - 1 visit the n images once each in an order drawn for epoch 0, items n to 2n - 1 in one
    drawn for epoch 1, and so on without end; ``len`` is n. So a sampler that yields ``range(start, stop)``
    makes the same batches wherever it starts and however many workers there are, and training resumes bit
    for bit.

    Each item crops crop x crop pixels at a uniformly random place, mirrored with `flip_probability`. The
    target is made from the points of the whole image: the sigmas take all neighbours into account, and a person
    beside the crop contributes the part of the kernel that reaches into it. An image smaller than the crop is
    padded on the right and at the bottom with the mean colour (zeros after normalisation), without people there.

    Args:
        dataset: the images and points.
        indices: which of them to train on.
        crop: the side of a crop in pixels.
        flip_probability: 0 to 1.
        seed: at least 0.
        stride: pixels of a cell's side, the model's output stride.
        sigma: the rule for the sigmas of the kernels.
        boundary: ``"conserve"`` or ``"clip"``, as in ``skt_ext.density.density_map``.
        visibility: who is visible in a crop, for losses that compare with points; None: crops carry no points.
        cache_bytes: decoded images kept in memory by each worker; the default holds Part A's training split.

    Raises:
        UsageError: an argument is out of range.
        SktError: on access, when an image or its points cannot be read.
    """

    def __init__(
        self,
        dataset: CrowdDataset,
        indices: Sequence[int],
        *,
        crop: int,
        flip_probability: float,
        seed: int,
        stride: int = 8,
        sigma: SigmaRule,
        boundary: Boundary = "conserve",
        visibility: VisibilityRule | None = None,
        cache_bytes: int = 512 * 2**20,
    ) -> None:
        if not indices:
            raise UsageError("indices: expected at least one image to train on, got none")
        if crop < 1 or stride < 1:
            raise UsageError(f"crop and stride: expected at least 1 pixel, got {crop} and {stride}")
        if not 0 <= flip_probability <= 1:
            raise UsageError(f"flip_probability: expected 0 to 1, got {flip_probability}")
        if seed < 0:
            raise UsageError(f"seed: expected at least 0, got {seed}")
        if boundary not in ("conserve", "clip"):
            raise UsageError(f"boundary: expected conserve or clip, got {boundary!r}")
        self._dataset = dataset
        self._indices = list(indices)
        self._crop = crop
        self._flip_probability = flip_probability
        self._seed = seed
        self._stride = stride
        self._sigma = sigma
        self._boundary: Boundary = boundary
        self._visibility = visibility
        self._decoded = ByteCache[_Decoded](cache_bytes, _bytes_of)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # the last epoch's

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> TrainingCrop:
        index = self.image_index(item)
        image, points, sigma, boxes, roi = self._decoded.get(index, lambda: self._decode(index))
        rng = np.random.default_rng((self._seed, _CROP, item))
        if rng.random() < self._flip_probability:
            image, points = flip_horizontally(image, points)
            roi = None if roi is None else roi[:, ::-1]
        shape = image.shape[0], image.shape[1]
        box = random_box(shape, self._crop, rng)
        pixels = torch.zeros(3, self._crop, self._crop)
        cut = normalize_image(image[box.top : box.bottom, box.left : box.right])
        pixels[:, : cut.shape[1], : cut.shape[2]] = cut
        target = make_target(
            points, sigma, shape, box=box, stride=self._stride, boundary=self._boundary, roi=roi
        )
        people = torch.tensor(float(len(points_inside(points, box))))
        visible = torch.zeros(0, 3)
        if self._visibility is not None:
            visible = torch.from_numpy(self._visibility.within(points, boxes, box)).float()
        return TrainingCrop(pixels, target.unsqueeze(0), people, visible, float(min(shape)))

    def image_index(self, item: int) -> int:
        """The index of the image that item `item` is a crop of."""
        if item < 0:
            raise IndexError(f"item: expected at least 0, got {item}")
        epoch, place = divmod(item, len(self._indices))
        if self._order[0] != epoch:
            rng = np.random.default_rng((self._seed, _ORDER, epoch))
            self._order = (epoch, rng.permutation(len(self._indices)))
        return self._indices[int(self._order[1][place])]

    def _decode(self, index: int) -> _Decoded:
        sample = self._dataset[index]
        points = sample.points
        sigma = self._sigma.sigmas(points, sample.perspective)
        boxes = self._visibility.sides(points) if self._visibility is not None else np.zeros(0)
        return _Decoded(sample.image, points, sigma, boxes, sample.roi)


def _bytes_of(decoded: _Decoded) -> int:
    return sum(array.nbytes for array in decoded if array is not None)


def step_batches(
    crops: Dataset[TrainingCrop], start: int, stop: int, batch_size: int, *, workers: int = 0
) -> Iterator[TrainingBatch]:
    """Batches for the steps ``start`` to ``stop - 1``.

    Step s holds the crops s * batch_size to (s + 1) * batch_size - 1, whatever ran before and with however
    many workers.
    """
    order = [list(range(step * batch_size, (step + 1) * batch_size)) for step in range(start, stop)]
    loader = DataLoader(
        crops,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=TrainingBatch.of,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        yield from loader
    except SktError as error:
        # A worker's error arrives with its traceback in front of the message.
        message = str(error).strip().splitlines()[-1]
        raise type(error)(
            message.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
        ) from error
