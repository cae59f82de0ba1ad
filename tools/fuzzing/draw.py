"""Random arguments: sizes, tensors of every layout and dtype, arrays, options. A seed gives the same ones again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
Choice = TypeVar("Choice")


class Draw:
    """A source of arguments on one device."""

    def __init__(self, seed: int, device: str = "cpu") -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(63))
        self.device = device
        # Most calls have ordinary numbers; the others share one peculiarity, which their tensors may have.
        self.numbers = self.one_of(
            ["normal"] * 6
            + ["relu", "ties", "small", "large", "denormal", "nearly constant", "nan", "infinite"]
        )

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        return self.random.choice(choices)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def size(self, largest: int, smallest: int = 1) -> int:
        """A whole number, often at an end of the range or near a power of two."""
        edges = [smallest, largest, *(p + d for p in (4, 8, 16, 32, 64, 128, 256) for d in (-1, 0, 1))]
        if self.chance(0.5):
            return self.one_of([edge for edge in edges if smallest <= edge <= largest])
        return self.random.randint(smallest, largest)

    def feature_shape(self, elements: int = 20_000) -> tuple[int, int, int, int]:
        """(N, C, H, W) of about that many elements at most; N is 0 now and then."""
        batch = 0 if self.chance(0.04) else self.size(3)
        channels = self.size(96)
        height = self.size(max(1, min(40, elements // (channels * max(batch, 1)))))
        width = self.size(max(1, min(70, elements // (channels * height * max(batch, 1)))))
        return batch, channels, height, width

    def dtype(self) -> torch.dtype:
        return self.one_of(DTYPES)

    def tensor(
        self, shape: Sequence[int], dtype: torch.dtype | None = None, layout: str | None = None
    ) -> Tensor:
        values = self._values(tuple(shape)).to(dtype or self.dtype())
        return self.laid_out(values.to(self.device), layout)

    def _values(self, shape: tuple[int, ...]) -> Tensor:
        """float64, with this call's peculiarity in two of three tensors."""
        values = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        numbers = self.numbers if self.chance(0.67) else "normal"
        if numbers == "relu":
            return values.relu()
        if numbers == "ties":
            return values.round()
        if numbers in ("small", "large", "denormal"):
            return values * {"small": 1e-4, "large": 1e4, "denormal": 1e-39}[numbers]
        if numbers == "nearly constant":
            return self.between(-2, 2) + 1e-3 * values
        if numbers in ("nan", "infinite") and values.numel() > 0:
            strange = {"nan": [float("nan")], "infinite": [float("inf"), -float("inf")]}[numbers]
            for _ in range(self.size(3)):
                values.view(-1)[self.random.randrange(values.numel())] = self.one_of(strange)
        return values

    def laid_out(self, values: Tensor, layout: str | None = None) -> Tensor:
        """The same values (of an expanded tensor: some of them), differently in memory."""
        layouts = ["contiguous"] * 3 + ["offset", "sliced", "permuted", "expanded"]
        layouts += ["channels_last"] * 3 if values.ndim == 4 else []
        layout = layout or self.one_of(layouts)
        if layout == "channels_last":
            return values.contiguous(memory_format=torch.channels_last)
        if layout == "offset":  # not aligned to a vector
            flat = values.new_empty(values.numel() + 1)[1:]
            return flat.copy_(values.flatten()).view(values.shape)
        axes = list(range(values.ndim))
        if not axes:
            return values
        if layout == "permuted":
            self.random.shuffle(axes)
            return values.permute(axes).contiguous().permute([axes.index(i) for i in range(values.ndim)])
        axis = self.one_of(axes)
        if layout == "sliced":
            sizes = list(values.shape)
            sizes[axis] = 2 * sizes[axis] + 1
            around = values.new_full(sizes, 77)
            index = [slice(None)] * values.ndim
            index[axis] = slice(1, None, 2)
            return around[tuple(index)].copy_(values)
        if layout == "expanded" and values.shape[axis] > 0:
            return values.narrow(axis, 0, 1).expand(values.shape)
        return values.contiguous()

    def points(self, height: int, width: int, people: int, kernels: tuple[int, ...] = ()) -> Tensor:
        """(P, *kernels, 2) float64 [x, y]: most inside the image, some on its edges, outside, or at the same place."""
        points = torch.rand((people, *kernels, 2), generator=self.generator, dtype=torch.float64)
        points = points * torch.tensor([width, height], dtype=torch.float64)
        for point in points:
            place = self.random.random()
            if place < 0.15:
                point.copy_(point.floor())
            elif place < 0.25:
                point.copy_(points[0])
            elif place < 0.4:
                edge = [0.0, -0.0, float(width), float(height), width - 1e-9, -1e-9, -3.0, 1e6, -1e30]
                point.view(-1)[self.random.randrange(point.numel())] = self.one_of(edge)
        return points.to(self.device)

    def region(self, shape: Sequence[int]) -> Tensor:
        """bool, with walls, now and then all False"""
        share = self.one_of([0.0, 0.5, 0.9, 1.0])
        region = torch.rand(tuple(shape), generator=self.generator) < share
        return self.laid_out(region.to(self.device))

    def as_array(self, tensor: Tensor) -> Tensor | npt.NDArray[Any]:
        """The tensor, or an array of its values: read-only, of foreign byte order, or with negative steps."""
        if self.device != "cpu" or tensor.dtype == torch.bfloat16 or self.chance(0.5):
            return tensor
        array = tensor.numpy().copy()
        kind = self.one_of(["plain", "read-only", "big-endian", "negative", "fortran"])
        if kind == "read-only":
            array.flags.writeable = False
        if kind == "big-endian":
            return array.astype(array.dtype.newbyteorder(">"))
        if kind == "negative":
            backwards = (slice(None, None, -1),) * array.ndim
            return np.ascontiguousarray(array[backwards])[backwards]
        return np.asfortranarray(array) if kind == "fortran" else array


def describe(value: Any) -> str:
    """A value as a person would write it down: shape, dtype and strides of tensors."""
    if isinstance(value, Tensor):
        dense = value.layout == torch.strided
        strides = f" strides {tuple(value.stride())}" if dense and not value.is_contiguous() else ""
        where = "" if value.device.type == "cpu" else f" on {value.device}"
        content = f" = {value.tolist()}" if value.numel() == 1 and dense and not value.is_meta else ""
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}{strides}{where}{content}"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype.str}{list(value.shape)} strides {value.strides}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, dict):
        return ", ".join(f"{name}={describe(entry)}" for name, entry in value.items())
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
