"""Random crops for training, reproducible one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from skt_crowd.data.augmentation import flip_horizontally, points_inside, random_box
from skt_crowd.data.byte_cache import ByteCache
from skt_crowd.data.images import normalize_image
from skt_crowd.data.presence import PresenceRule
from skt_crowd.data.samples import CrowdDataset
from skt_crowd.data.targets import Boundary, SigmaRule, make_target
from skt_crowd.errors import UsageError

# Streams of random numbers that must not overlap: the order of an epoch, and the crop of an item.
_ORDER, _CROP = 0, 1


class TrainingCrop(NamedTuple):
    """One crop; :meth:`TrainingBatch.of` puts several together."""

    image: torch.Tensor  # (3, crop, crop) float32, normalised by ImageNet's mean and standard deviation
    target: torch.Tensor  # (1, ceil(crop / stride), ceil(crop / stride)) float32, people per cell
    people: torch.Tensor  # () float32, number of points in the crop
    points: torch.Tensor  # (K, 3) float32: x, y and presence by the rule; (0, 3) without a rule
    shorter_side: float  # min(H, W) of the image that the crop is cut from, pixels


class TrainingBatch(NamedTuple):
    """Crops of one size."""

    image: torch.Tensor  # (N, 3, crop, crop) float32
    target: torch.Tensor  # (N, 1, h, w) float32, people per cell
    people: torch.Tensor  # (N,) float32
    points: tuple[torch.Tensor, ...]  # N times (K_i, 3): crops hold different numbers of people
    shorter_sides: tuple[float, ...]  # (N,) pixels

    @classmethod
    def of(cls, crops: Sequence[TrainingCrop]) -> "TrainingBatch":
        """Stack crops, as the ``collate_fn`` of a DataLoader."""
        image, target, people, points, sides = zip(*crops, strict=True)
        return cls(torch.stack(image), torch.stack(target), torch.stack(people), points, sides)

    def to(
        self, device: torch.device, layout: torch.memory_format = torch.contiguous_format
    ) -> "TrainingBatch":
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
    boxes: np.ndarray  # (P,) float64, sides of the heads' squares; (0,) without a presence rule
    roi: np.ndarray | None  # (H, W) bool


class TrainingCrops(Dataset[TrainingCrop]):
    """Item i is a random crop of a random image, and depends on nothing but (seed, i).

    Items 0 to n - 1 visit the n images once each in an order drawn for epoch 0, items n to 2n - 1 in one
    drawn for epoch 1, and so on without end; ``len`` is n. So a sampler that yields ``range(start, stop)``
    makes the same batches wherever it starts and however many workers there are, and training resumes bit
    for bit.

    Each item crops crop x crop pixels at a uniformly random place, mirrored with `flip_probability`. The
    target is made from the points of the whole image: the widths know all neighbours, and a person beside the
    crop contributes the part of the kernel that reaches into it. An image smaller than the crop is padded on
    the right and at the bottom with the mean colour (zeros after normalisation), without people there.

    Args:
        dataset: the images and points.
        indices: which of them to train on.
        crop: the side of a crop in pixels.
        flip_probability: 0 to 1.
        seed: at least 0.
        stride: pixels of a cell's side, the model's output stride.
        sigma: the rule for the kernels' widths.
        boundary: ``"conserve"`` or ``"clip"``, as in ``skt_ext.density.density_map``.
        presence: who counts as being in a crop, for losses that look at points; None: crops carry no points.
        cache_bytes: decoded images kept in memory by each worker; the default holds Part A's training split.

    Raises:
        UsageError: an argument is out of range.
        SktError: on access, when an image or its points can't be read.
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
        presence: PresenceRule | None = None,
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
        self._presence = presence
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
        present = torch.zeros(0, 3)
        if self._presence is not None:
            present = torch.from_numpy(self._presence.within(points, boxes, box)).float()
        return TrainingCrop(pixels, target.unsqueeze(0), people, present, float(min(shape)))

    def image_index(self, item: int) -> int:
        """Which image of the data set item `item` is a crop of."""
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
        sigma = self._sigma.widths(points, sample.perspective)
        boxes = self._presence.sides(points) if self._presence is not None else np.zeros(0)
        return _Decoded(sample.image, points, sigma, boxes, sample.roi)


def _bytes_of(decoded: _Decoded) -> int:
    return sum(array.nbytes for array in decoded if array is not None)
