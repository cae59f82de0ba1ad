"""One set of inputs for every test of an operator: shapes that do not divide, odd layouts, all dtypes."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.support.random_features import FLOATS

LAYOUTS = ["contiguous", "channels_last", "permuted", "sliced"]

# (N, C, H, W): no image, one pixel, one row, one column, primes, more channels than pixels, many pixels
SHAPES = [
    (0, 3, 5, 4),
    (1, 1, 1, 1),
    (1, 3, 1, 7),
    (2, 5, 11, 1),
    (3, 7, 13, 5),
    (2, 33, 3, 2),
    (1, 16, 17, 19),
]

# Results of a computation in float32 or float64, rounded once to the dtype.
TOLERANCES = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-11},
    torch.float32: {"rtol": 2e-5, "atol": 2e-6},
    torch.float16: {"rtol": 2e-3, "atol": 2e-5},
    torch.bfloat16: {"rtol": 1.6e-2, "atol": 2e-5},
}


def gradient(output: Tensor, weight: Tensor, tensor: Tensor) -> Tensor:
    """d sum(output * weight) / d tensor"""
    (result,) = torch.autograd.grad(output, tensor, weight.to(output))
    return result


def float_pairs() -> Iterator[tuple[torch.dtype, torch.dtype]]:
    """Student and teacher dtypes: all equal ones, and the mixtures that autocast makes."""
    for dtype in FLOATS:
        yield dtype, dtype
    yield torch.float16, torch.float32
    yield torch.float32, torch.bfloat16
    yield torch.bfloat16, torch.float16
    yield torch.float64, torch.float32
    yield torch.float16, torch.float64


in_every_layout = pytest.mark.parametrize("layout", LAYOUTS)
of_every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
