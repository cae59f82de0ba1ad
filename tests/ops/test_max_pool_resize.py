"""Operator max_pool_resize: equal to torch's ceil-mode max pooling, with a gradient that is gathered."""

import math

import pytest
import torch
import torch.nn.functional as F

import skt_ext  # noqa: F401  (registers the operators)
from tests.ops import op_samples
from tests.ops.op_samples import gradient
from tests.support.random_features import FLOATS, laid_out, on_every_device, random_feature

op = torch.ops.skt_ext.max_pool_resize
KERNELS = [(1, 1), (2, 2), (2, 3), (8, 8), (1, 5), (17, 16)]  # (17, 16) has more offsets than uint8 can name


@on_every_device
@op_samples.in_every_layout
@op_samples.of_every_shape
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_values_and_gradient_equal_max_pool2d(shape, kernel, layout, device):
    features = random_feature(
        shape, seed=1, dtype=torch.float32, layout=layout, device=device
    ).requires_grad_()
    output, argmax = op(features, *kernel)
    assert output.shape == (*shape[:2], math.ceil(shape[2] / kernel[0]), math.ceil(shape[3] / kernel[1]))
    assert argmax.shape == output.shape
    assert argmax.dtype == (torch.uint8 if kernel[0] * kernel[1] <= 256 else torch.int32)
    expected = F.max_pool2d(features.contiguous(), kernel, ceil_mode=True)
    assert torch.equal(output, expected)
    weight = random_feature(tuple(output.shape), seed=2, dtype=torch.float32, device=device)
    assert torch.equal(gradient(output, weight, features), gradient(expected, weight, features))


@on_every_device
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_keeps_dtype_and_memory_format(dtype, layout, device):
    features = random_feature((2, 6, 9, 7), dtype=dtype, layout=layout, device=device).requires_grad_()
    output, argmax = op(features, 4, 2)
    assert output.dtype == dtype
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert output.is_contiguous(memory_format=memory_format)
    assert argmax.is_contiguous(memory_format=memory_format)
    weight = torch.ones_like(output)
    result = gradient(output, weight, features)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=memory_format)
    assert torch.equal(output, F.max_pool2d(features, (4, 2), ceil_mode=True))


@on_every_device
def test_by_hand(device):
    # 2x2 on 3x3: {1, 5, 4, 2} -> 5, offset 1; {3, 0} -> 3, offset 0; {7, 7} -> first 7, offset 0; {6}.
    features = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 0.0], [7.0, 7.0, 6.0]], device=device)
    features = features.reshape(1, 1, 3, 3).requires_grad_()
    output, argmax = op(features, 2, 2)
    assert output.tolist() == [[[[5.0, 3.0], [7.0, 6.0]]]]
    assert argmax.tolist() == [[[[1, 0], [0, 0]]]]
    weight = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]], device=device)
    expected = [[[[0.0, 10.0, 20.0], [0.0, 0.0, 0.0], [30.0, 0.0, 40.0]]]]
    assert gradient(output, weight, features).tolist() == expected


@on_every_device
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_nan_and_infinity_pass_through(layout, device):
    features = random_feature((1, 2, 4, 4), dtype=torch.float32, device=device)
    features[0, 0, 1, 1] = float("nan")
    features[0, 1, 0, 3] = float("inf")
    features[0, 0, 2:, 2:] = -float("inf")
    features = laid_out(features, layout)
    output, _ = op(features, 2, 2)
    expected = F.max_pool2d(features, 2, ceil_mode=True)
    assert torch.equal(output.isnan(), expected.isnan())
    assert torch.equal(output.nan_to_num(), expected.nan_to_num())


@on_every_device
def test_gradcheck(device):
    features = random_feature((2, 3, 5, 7), device=device).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: op(f, 2, 3)[0], (features,))
