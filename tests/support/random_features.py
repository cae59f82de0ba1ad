"""Random features (N, C, H, W) in every dtype, memory layout and on every device, for operators and losses."""

import pytest
import torch
from torch import Tensor

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]

on_every_device = pytest.mark.parametrize("device", DEVICES)


def laid_out(values: Tensor, layout: str) -> Tensor:
    """The same values (N, C, H, W) in another memory layout."""
    if layout == "channels_last":
        return values.contiguous(memory_format=torch.channels_last)
    if layout == "permuted":  # dense, but neither contiguous nor channels_last
        return values.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    if layout == "sliced":  # every second column of a wider tensor
        wide = values.new_full((*values.shape[:3], 2 * values.shape[3]), float("nan"))
        wide[..., ::2] = values
        return wide[..., ::2]
    return values.contiguous()


def random_feature(
    shape: tuple[int, ...],
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    layout: str = "contiguous",
    device: str = "cpu",
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)
    return laid_out(values, layout)
