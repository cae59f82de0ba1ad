"""Feature maps in every order of memory an operator may meet."""

import torch
from torch import Tensor


def contiguous(x: Tensor) -> Tensor:
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def cropped(x: Tensor) -> Tensor:
    """A window of a larger map: rows do not join."""
    batch, channels, height, width = x.shape
    larger = torch.full((batch, channels, height + 3, width + 2), float("nan"), dtype=x.dtype)
    larger[:, :, 1 : height + 1, 2:] = x
    return larger[:, :, 1 : height + 1, 2:]


def channels_last_slice(x: Tensor) -> Tensor:
    """Some channels of a larger channels_last tensor: channels are adjacent, pixels do not join."""
    batch, channels, height, width = x.shape
    larger = channels_last(torch.full((batch, channels + 5, height, width), float("nan"), dtype=x.dtype))
    larger[:, 2 : channels + 2] = x
    return larger[:, 2 : channels + 2]


def transposed(x: Tensor) -> Tensor:
    """Height and width exchanged in memory."""
    return x.transpose(2, 3).contiguous().transpose(2, 3)


LAYOUTS = [contiguous, channels_last, cropped, channels_last_slice, transposed]
