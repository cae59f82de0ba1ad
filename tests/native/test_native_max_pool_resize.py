import math

import pytest
import torch
import torch.nn.functional as F

from tests.native.layouts import LAYOUTS, channels_last, contiguous

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
KERNELS = [(1, 1), (2, 2), (4, 4), (8, 8), (3, 2), (1, 5), (16, 16), (17, 16), (40, 40)]


def features(shape, dtype=torch.float32, seed=0):
    # Few distinct values: ties in nearly every window.
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def offsets(winners, kernel_h, kernel_w, width):
    """Offset inside its window of each winner, given torch's index in the plane."""
    return winners // width % kernel_h * kernel_w + winners % width % kernel_w


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "shape", [(0, 2, 5, 4), (1, 1, 1, 1), (3, 5, 33, 19), (2, 1, 8, 16), (1, 3, 20, 1100)]
)
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_forward_equals_torch(ops, kernel, shape, layout):
    x = layout(features(shape))
    output, argmax = ops.max_pool_resize(x, *kernel)
    expected, winners = F.max_pool2d(x, kernel, ceil_mode=True, return_indices=True)
    assert torch.equal(output, expected)
    assert torch.equal(argmax.long(), offsets(winners, *kernel, shape[3]))
    assert argmax.dtype == (torch.uint8 if kernel[0] * kernel[1] <= 256 else torch.int32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_backward_equals_torch(ops, kernel, dtype, layout):
    x = layout(features((2, 5, 33, 19), dtype)).requires_grad_()
    expected_output = F.max_pool2d(x, kernel, ceil_mode=True)
    grad = torch.randn(expected_output.shape).to(dtype)
    (expected,) = torch.autograd.grad(expected_output, x, grad)
    _, argmax = ops.max_pool_resize(x.detach(), *kernel)
    for given in (layout(grad), contiguous(grad), channels_last(grad)):
        result = ops.max_pool_resize_backward(given, argmax, *kernel, 33, 19)
        assert torch.equal(result, expected)
        assert result.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(ops, dtype, layout):
    x = layout(features((2, 6, 9, 7), dtype))
    output, argmax = ops.max_pool_resize(x, 2, 3)
    assert torch.equal(output, F.max_pool2d(x, (2, 3), ceil_mode=True))
    memory_format = torch.channels_last if layout is channels_last else torch.contiguous_format
    assert output.is_contiguous(memory_format=memory_format)
    assert argmax.is_contiguous(memory_format=memory_format)
    back = ops.max_pool_resize_backward(torch.ones_like(output), argmax, 2, 3, 9, 7)
    assert back.is_contiguous(memory_format=memory_format)
    assert back.sum() == output.numel()


@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_expanded_gradient_of_a_sum(ops, layout):
    x = layout(features((2, 6, 9, 7)))
    output, argmax = ops.max_pool_resize(x, 2, 2)
    result = ops.max_pool_resize_backward(torch.tensor(2.0).expand(output.shape), argmax, 2, 2, 9, 7)
    assert torch.equal(
        result, ops.max_pool_resize_backward(torch.full(output.shape, 2.0), argmax, 2, 2, 9, 7)
    )


@pytest.mark.parametrize("layout", [contiguous, channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [(2, 2), (4, 4), (3, 3)])
def test_nan_and_infinity_as_torch(ops, layout, dtype, kernel):
    generator = torch.Generator().manual_seed(3)
    special = torch.tensor([math.nan, -math.inf, math.inf, 0.0, -0.0, 1.0])
    x = layout(special[torch.randint(0, 6, (2, 5, 23, 17), generator=generator)].to(dtype))
    output, argmax = ops.max_pool_resize(x, *kernel)
    expected, winners = F.max_pool2d(x, kernel, ceil_mode=True, return_indices=True)
    torch.testing.assert_close(output, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(argmax.long(), offsets(winners, *kernel, 17))


def test_all_minus_infinity_takes_the_first(ops):
    output, argmax = ops.max_pool_resize(torch.full((1, 2, 4, 4), -math.inf), 2, 2)
    assert torch.equal(output, torch.full((1, 2, 2, 2), -math.inf))
    assert torch.count_nonzero(argmax) == 0


@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_bits_do_not_depend_on_the_number_of_threads(ops, on_threads, layout):
    x = layout(torch.randn(3, 17, 130, 131))

    def both():
        output, argmax = ops.max_pool_resize(x, 4, 4)
        return output, argmax, ops.max_pool_resize_backward(output, argmax, 4, 4, 130, 131)

    for one, two in zip(on_threads(1, both), on_threads(2, both), strict=True):
        assert torch.equal(one, two)


def test_a_forged_argmax_writes_nothing_outside_its_window(ops):
    argmax = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    result = ops.max_pool_resize_backward(torch.ones(1, 1, 2, 2), argmax, 2, 2, 3, 3)
    assert torch.count_nonzero(result) == 0


def test_messages_name_the_argument_and_what_came(ops):
    x = torch.ones(1, 2, 4, 4)
    with pytest.raises(
        RuntimeError,
        match=r"skt_ext::max_pool_resize: input must have the axes \(N, C, H, W\); got shape \(4,\)",
    ):
        ops.max_pool_resize(torch.ones(4), 2, 2)
    with pytest.raises(
        RuntimeError, match=r"the kernel \(kernel_h, kernel_w\) must be positive; got \(0, 2\)"
    ):
        ops.max_pool_resize(x, 0, 2)
    with pytest.raises(
        RuntimeError, match="input must have dtype Double or Float or Half or BFloat16; got Long"
    ):
        ops.max_pool_resize(x.long(), 2, 2)
    output, argmax = ops.max_pool_resize(x, 2, 2)
    with pytest.raises(RuntimeError, match=r"grad must have shape .* = \(1, 2, 3, 2\); got \(1, 2, 2, 2\)"):
        ops.max_pool_resize_backward(output, argmax, 2, 2, 5, 4)
    with pytest.raises(RuntimeError, match="argmax must have dtype Byte; got Int"):
        ops.max_pool_resize_backward(output, argmax.int(), 2, 2, 4, 4)
