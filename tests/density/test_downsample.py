"""downsample_density: block sums that lose nobody, whatever the size."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_ext.density import downsample_density


def test_by_hand():
    density = torch.arange(15.0).reshape(3, 5)
    # rows 0-1: 0+1+5+6 = 12, 2+3+7+8 = 20, 4+9 = 13; row 2: 10+11 = 21, 12+13 = 25, 14
    assert downsample_density(density, 2).tolist() == [[12.0, 20.0, 13.0], [21.0, 25.0, 14.0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_keeps_dtype_and_leading_axes(dtype):
    density = torch.rand(2, 1, 9, 13).to(dtype)
    result = downsample_density(density, 8)
    assert result.shape == (2, 1, 2, 2)
    assert result.dtype == dtype
    expected = torch.stack([downsample_density(image[0].double(), 8)[None] for image in density])
    torch.testing.assert_close(result, expected.to(dtype), rtol=1e-2, atol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 1), (0, 4), (2, 0, 5, 5)], ids=str)
def test_degenerate_sizes(shape):
    result = downsample_density(torch.ones(shape), 4)
    assert result.shape == (*shape[:-2], -(-shape[-2] // 4), -(-shape[-1] // 4))
    assert result.sum() == torch.ones(shape).sum()


@pytest.mark.parametrize("factor", [7, 1000, 2**31, 2**63 - 1, 10**30])
def test_a_block_larger_than_the_map_holds_all_of_it_and_takes_no_memory(factor):
    density = torch.rand(2, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(downsample_density(density, factor), density.sum((1, 2), keepdim=True))


def test_factor_one_changes_nothing():
    density = torch.rand(5, 7)
    assert torch.equal(downsample_density(density, 1), density)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 2**31))
def test_mass_is_conserved_and_steps_compose(height, width, factor, seed):
    density = torch.rand(height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    result = downsample_density(density, factor)
    assert result.shape == (-(-height // factor), -(-width // factor))
    torch.testing.assert_close(result.sum(), density.sum())
    torch.testing.assert_close(
        downsample_density(downsample_density(density, 2), 3), downsample_density(density, 6)
    )


def test_gradient_and_compile():
    density = torch.rand(7, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: downsample_density(d, 3), (density,))
    compiled = torch.compile(downsample_density, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(density, 3), downsample_density(density, 3))


@pytest.mark.parametrize(
    ("density", "factor", "error", "message"),
    [
        ([[1.0]], 2, TypeError, "density must be a tensor (..., H, W), got list"),
        (
            torch.ones(2, 2, dtype=torch.int64),
            2,
            TypeError,
            "density must be float64, float32, float16 or bfloat16, got torch.int64",
        ),
        (torch.ones(3), 2, ValueError, "density must have at least 2 axes (..., H, W), got shape (3,)"),
        (torch.ones(2, 2), 0, ValueError, "factor must be at least 1, got 0"),
        (torch.ones(2, 2), 2.0, TypeError, "factor must be a whole number, got float"),
        (torch.ones(2, 2), True, TypeError, "factor must be a whole number, got bool"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_message(density, factor, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        downsample_density(density, factor)
