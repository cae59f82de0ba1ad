"""Operator pool_and_pack: max pooling, instance norm and packing of any features, against torch one by one."""

import math

import pytest
import torch
import torch.nn.functional as F

import skt_ext
from skt_ext._numerics import memory_format_of
from tests.support.random_features import FLOATS, on_every_device, random_feature

op = torch.ops.skt_ext.pool_and_pack
LAYOUTS = ["contiguous", "channels_last", "permuted", "sliced"]
# (h, w) of the packed features, and what is pooled to it: (C, H, W) with a window each
CASES = [
    ((1, 1), [((3, 1, 1), (1, 1)), ((2, 5, 3), (8, 8))]),
    ((3, 2), [((5, 17, 11), (6, 8)), ((1, 3, 2), (1, 1)), ((18, 5, 4), (2, 2))]),
    ((4, 7), [((33, 31, 55), (8, 8)), ((2, 4, 19), (1, 3)), ((16, 4, 7), (1, 1))]),
]


def features_of(case, batch, layout="contiguous", dtypes=(torch.float64,), device="cpu"):
    _, parts = case
    return [
        random_feature((batch, *shape), seed=i, layout=layout, dtype=dtypes[i % len(dtypes)], device=device)
        for i, (shape, _) in enumerate(parts)
    ]


def kernels_of(case):
    return [size for _, kernel in case[1] for size in kernel]


def packed_by_torch(features, case, normalize):
    pooled = [
        F.max_pool2d(feature.contiguous(), kernel, ceil_mode=True)
        for feature, (_, kernel) in zip(features, case[1], strict=True)
    ]
    rows = torch.cat([feature.flatten(2) for feature in pooled], 1)
    if normalize:
        rows = rows - rows.mean(2, keepdim=True)
        rows = rows / (rows.square().mean(2, keepdim=True) + 1e-5).sqrt()
    return rows


@on_every_device
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
def test_values_and_gradients(case, batch, normalize, layout, device):
    features = [f.requires_grad_() for f in features_of(case, batch, layout, device=device)]
    packed, argmax, inverse_deviation = op(features, kernels_of(case), normalize, True)
    expected = packed_by_torch(features, case, normalize)
    assert packed.is_contiguous()
    assert packed.shape == (batch, sum(f.shape[1] for f in features), math.prod(case[0]))
    assert argmax.dtype == torch.uint8
    assert argmax.shape == packed.shape
    assert inverse_deviation.shape == ((batch, packed.shape[1]) if normalize else (0,))
    torch.testing.assert_close(packed, expected)
    weight = random_feature(tuple(packed.shape), seed=9, device=device)
    ours = torch.autograd.grad(packed, features, weight)
    true = torch.autograd.grad(expected, features, weight)
    for gradient, truth, feature in zip(ours, true, features, strict=True):
        torch.testing.assert_close(gradient, truth)
        assert gradient.is_contiguous(memory_format=memory_format_of(feature))


@on_every_device
@pytest.mark.parametrize(
    "dtypes", [(d,) for d in FLOATS] + [(torch.bfloat16, torch.float32, torch.float16)], ids=str
)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_dtypes(dtypes, layout, device):
    case = CASES[2]
    features = [f.requires_grad_() for f in features_of(case, 2, layout, dtypes, device)]
    packed, _, _ = op(features, kernels_of(case), True, True)
    assert packed.dtype == (torch.float64 if dtypes == (torch.float64,) else torch.float32)
    exact = [f.detach().double() for f in features]
    torch.testing.assert_close(packed.double(), packed_by_torch(exact, case, True), rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(packed.square().sum() + packed[:, :, 0].sum(), features)
    assert [g.dtype for g in gradients] == [f.dtype for f in features]


@on_every_device
def test_by_hand(device):
    # 2x2 windows of [[1, 5, 3], [4, 2, 0], [7, 7, 6]]: 5 (offset 1), 3 (0), the first 7 (0), 6 (0).
    large = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 0.0], [7.0, 7.0, 6.0]], device=device).reshape(
        1, 1, 3, 3
    )
    small = torch.tensor([[1.0, -1.0], [1.0, -1.0]], device=device).reshape(1, 1, 2, 2)
    packed, argmax, _ = op([large, small], [2, 2, 1, 1], False, True)
    assert packed.tolist() == [[[5.0, 3.0, 7.0, 6.0], [1.0, -1.0, 1.0, -1.0]]]
    assert argmax.tolist() == [[[1, 0, 0, 0], [0, 0, 0, 0]]]
    packed, _, inverse_deviation = op([small], [1, 1], True, False)  # mean 0, variance 1
    torch.testing.assert_close(inverse_deviation, torch.tensor([[1.00001**-0.5]], device=device))
    torch.testing.assert_close(packed, small.flatten(2) * 1.00001**-0.5)


@on_every_device
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_nan_and_infinity_pass_through(layout, device):
    feature = random_feature((1, 18, 4, 4), dtype=torch.float32, layout=layout, device=device)
    feature[0, 0, 1, 1], feature[0, 1, 0, 3], feature[0, 17, 2, 0] = float("nan"), float("inf"), float("nan")
    feature[0, 2, 2:, 2:] = -float("inf")
    packed, _, _ = op([feature], [2, 2], False, False)
    torch.testing.assert_close(packed, F.max_pool2d(feature, 2).flatten(2), equal_nan=True)


@on_every_device
@pytest.mark.parametrize("normalize", [False, True])
def test_gradcheck(normalize, device):
    features = [f.requires_grad_() for f in features_of(CASES[1], 1, device=device)]
    assert torch.autograd.gradcheck(
        lambda *f: op(list(f), kernels_of(CASES[1]), normalize, True)[0], features
    )


@pytest.mark.skipif(skt_ext.build_info()["reason"] is not None, reason="the native library checks")
def test_messages():
    x = torch.ones(1, 2, 4, 4)
    with pytest.raises(
        RuntimeError, match=r"kernels must hold kernel_h and kernel_w of each of the 1 features; got \(2,\)"
    ):
        op([x], [2], False, False)
    with pytest.raises(
        RuntimeError,
        match=r"features\[1\] must be pooled to the size of features\[0\], \(2, 2\); got \(4, 4\)",
    ):
        op([x, x], [2, 2, 1, 1], False, False)
    with pytest.raises(RuntimeError, match=r"of at most 256 cells each; got \(17, 16\)"):
        op([x], [17, 16], False, False)
    with pytest.raises(
        RuntimeError, match=r"features\[1\] must have the N of features\[0\], 1; got \(2, 2, 4, 4\)"
    ):
        op([x, torch.ones(2, 2, 4, 4)], [1, 1, 1, 1], False, False)
