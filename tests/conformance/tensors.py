"""Random tensors in every dtype and every order of memory that an operator may meet.

Memory that does not belong to a tensor but lies between its elements is NaN: whoever reads it shows.
"""

from collections.abc import Callable

import torch
from torch import Tensor

DOUBLE, FLOAT, HALF, BFLOAT = torch.float64, torch.float32, torch.float16, torch.bfloat16
FLOATS = (DOUBLE, FLOAT, HALF, BFLOAT)


def normal(*shape: int, dtype: torch.dtype = FLOAT, layout: str = "contiguous", seed: int = 0) -> Tensor:
    """Normally distributed, rounded to `dtype`, laid out as LAYOUTS[layout] says; the same for the same seed."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return LAYOUTS[layout](values.to(dtype))


def steps(*shape: int, dtype: torch.dtype = FLOAT, layout: str = "contiguous", seed: int = 0) -> Tensor:
    """Multiples of 1/4 in [-1, 1]: ties everywhere, and sums of products that every dtype holds exactly."""
    values = torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)) / 4
    return LAYOUTS[layout](values.to(dtype))


def with_values(tensor: Tensor, *positions_and_values: tuple[tuple[int | slice, ...], float]) -> Tensor:
    """The tensor, changed in place at some positions."""
    for position, value in positions_and_values:
        tensor[position] = value
    return tensor


def _inside_nan(
    x: Tensor, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[Tensor, tuple[slice, ...]]:
    """A NaN tensor that is larger than x by so much on each axis, and where x goes."""
    shape = [size + b + a for size, b, a in zip(x.shape, before, after, strict=True)]
    return x.new_full(shape, float("nan")), tuple(
        slice(b, b + size) for size, b in zip(x.shape, before, strict=True)
    )


def _cropped(x: Tensor) -> Tensor:
    """A window of a larger map: rows do not join."""
    larger, window = _inside_nan(x, (0, 0, 1, 2), (0, 0, 2, 0))
    larger[window] = x
    return larger[window]


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _some_channels(x: Tensor) -> Tensor:
    """Some channels of a larger channels_last tensor: channels are adjacent, pixels do not join."""
    larger, window = _inside_nan(x, (0, 2, 0, 0), (0, 3, 0, 0))
    larger = _channels_last(larger)
    larger[window] = x
    return larger[window]


def _every_second_column(x: Tensor) -> Tensor:
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), float("nan"))
    wide[..., ::2] = x
    return wide[..., ::2]


def _unaligned(x: Tensor) -> Tensor:
    """Contiguous, one element behind an address that packed loads could take."""
    memory = x.new_full((x.numel() + 2,), float("nan"))
    memory[1:-1] = x.reshape(-1)
    return memory[1:-1].view(x.shape)


def _unaligned_channels_last(x: Tensor) -> Tensor:
    return _unaligned(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": Tensor.contiguous,
    "channels_last": _channels_last,
    "cropped": _cropped,
    "some_channels": _some_channels,
    "every_second_column": _every_second_column,
    "transposed": lambda x: x.mT.contiguous().mT,  # the last two axes exchanged in memory
    "permuted": lambda x: x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0),
    "unaligned": _unaligned,
    "unaligned_channels_last": _unaligned_channels_last,
}
OF_FEATURES = ("contiguous", "channels_last", "cropped", "some_channels", "transposed")
