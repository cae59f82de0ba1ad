"""Several features pooled, packed and normalised by one operator of the library, against torch feature by feature."""

import pytest
import torch
import torch.nn.functional as F

from tests.native.layouts import LAYOUTS, channels_last, contiguous

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
# (C, H, W, kernel_h, kernel_w): windows that stick out, one that is a pixel, a group of one channel
PYRAMID = [(3, 13, 9, 4, 4), (5, 7, 5, 2, 2), (1, 4, 3, 1, 1), (4, 4, 3, 1, 1)]
KERNELS = [kernel for *_, h, w in PYRAMID for kernel in (h, w)]


def features(batch, dtypes, layout=contiguous, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        layout(torch.randn(batch, c, h, w, generator=generator, dtype=torch.float64).to(dtype))
        for (c, h, w, *_), dtype in zip(PYRAMID, dtypes, strict=True)
    ]


def expected_of(maps, normalize, wide=torch.float64):
    """(packed, offsets of the maxima) by torch."""
    rows, offsets = [], []
    for (*_, w, kernel_h, kernel_w), x in zip(PYRAMID, maps, strict=True):
        pooled, winner = F.max_pool2d(x, (kernel_h, kernel_w), ceil_mode=True, return_indices=True)
        rows.append(pooled.to(wide).flatten(2))
        offsets.append((winner // w % kernel_h * kernel_w + winner % w % kernel_w).flatten(2))
    packed = torch.cat(rows, 1)
    if normalize:
        centred = packed - packed.mean(2, keepdim=True)
        packed = centred * torch.rsqrt(centred.square().mean(2, keepdim=True) + 1e-5)
    return packed, torch.cat(offsets, 1)


def tolerance(dtype):
    return {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-5}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_equals_torch(ops, dtype, layout, batch, normalize):
    maps = features(batch, [dtype] * 4, layout)
    packed, argmax, inverse = ops.pool_and_pack(maps, KERNELS, normalize, True)
    expected, offsets = expected_of(maps, normalize)
    accumulator = torch.float64 if dtype == torch.float64 else torch.float32
    assert packed.dtype == accumulator
    torch.testing.assert_close(packed, expected.to(accumulator), **tolerance(dtype))
    assert argmax.dtype == torch.uint8
    assert torch.equal(argmax.long(), offsets)
    assert inverse.shape == ((batch, 13) if normalize else (0,))


def test_the_teacher_keeps_nothing(ops):
    maps = features(2, [torch.float32] * 4)
    packed, argmax, _ = ops.pool_and_pack(maps, KERNELS, False, False)
    assert argmax.shape == (0,)
    assert torch.equal(packed, ops.pool_and_pack(maps, KERNELS, False, True)[0])


def test_mixed_dtypes_and_layouts(ops):
    dtypes = [torch.bfloat16, torch.float32, torch.float16, torch.float32]
    maps = [lay(x) for lay, x in zip((channels_last, contiguous) * 2, features(2, dtypes), strict=True)]
    packed, *_ = ops.pool_and_pack(maps, KERNELS, True, True)
    torch.testing.assert_close(packed, expected_of(maps, True)[0].float(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layout", [contiguous, channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_backward_equals_autograd(ops, dtype, layout, normalize):
    maps = features(2, [dtype] * 4, layout)
    packed, argmax, inverse = ops.pool_and_pack(maps, KERNELS, normalize, True)
    weight = torch.randn(packed.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    ours = ops.pool_and_pack_backward(weight.to(packed), packed, argmax, inverse, maps, KERNELS)

    exact = [x.double().requires_grad_() for x in maps]
    theirs = torch.autograd.grad((expected_of(exact, normalize)[0] * weight).sum(), exact)
    for x, gradient, true in zip(maps, ours, theirs, strict=True):
        assert gradient.dtype == x.dtype
        assert gradient.stride() == x.stride()
        limits = {"rtol": 1e-2, "atol": 1e-2} if dtype == torch.bfloat16 else tolerance(dtype)
        torch.testing.assert_close(gradient, true.to(dtype), **limits)


def test_a_nan_wins_its_window_and_spoils_its_own_channel_only(ops):
    maps = features(1, [torch.float32] * 4)
    maps[0][0, 1, 5, 6] = float("nan")
    packed, argmax, _ = ops.pool_and_pack(maps, KERNELS, True, True)
    assert packed[0, 1].isnan().all()
    assert packed.isnan().sum() == packed.shape[2]
    assert argmax[0, 1, 1 * 3 + 1] == 1 * 4 + 2


def test_a_large_mean_is_taken_away_before_squares_are_added(ops):
    x = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    packed, *_ = ops.pool_and_pack([(x + 1000).float()], [1, 1], True, False)
    stored = (x + 1000).float().double()
    centred = stored - stored.mean()
    expected = centred / (centred.square().mean() + 1e-5).sqrt()
    torch.testing.assert_close(packed.double().flatten(), expected.flatten(), rtol=0, atol=2e-4)


def test_features_that_pool_to_different_sizes_are_refused(ops):
    with pytest.raises(RuntimeError, match="pool_and_pack"):
        ops.pool_and_pack(features(1, [torch.float32] * 4), [4, 4, 2, 2, 1, 1, 2, 2], False, False)
