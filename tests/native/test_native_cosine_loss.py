import itertools

import pytest
import torch

from tests.native.layouts import LAYOUTS, channels_last, contiguous
from tests.native.test_native_cosine_distance import DTYPES, EPS, GRADIENT_ERROR, features, formula, gradient


def check(ops, student, teacher, scale=1.0, eps=EPS):
    loss, result = ops.cosine_loss(student, teacher, eps, scale, True)
    distance, _ = formula(student, teacher, eps)
    double = torch.float64 in (student.dtype, teacher.dtype)
    assert loss.dtype == (torch.float64 if double else torch.float32)
    assert loss.shape == ()
    # Of a sum of distances, each of the order of one.
    error = (1e-12 if double else 1e-6) * max(1, distance.numel())
    torch.testing.assert_close(loss.double(), distance.sum(), atol=error, rtol=0)

    assert result.dtype == student.dtype
    length = student.double().norm(dim=1, keepdim=True)
    expected = gradient(torch.full_like(distance, scale), student, teacher, eps)
    torch.testing.assert_close(
        result.double() * length, expected * length, atol=GRADIENT_ERROR[student.dtype] * abs(scale), rtol=0
    )
    alone, nothing = ops.cosine_loss(student.detach(), teacher, eps, scale, False)
    torch.testing.assert_close(alone, loss, atol=error, rtol=0)
    assert nothing.shape == (0,)
    return loss, result


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (7, 31, 37), (64, 9, 4), (5, 0, 3), (67, 1, 1100)])
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_loss_and_gradient_match_the_formula(ops, batch, shape, layout):
    check(ops, layout(features((batch, *shape))), layout(features((batch, *shape), seed=1)), scale=-1.5)


@pytest.mark.parametrize(("student_dtype", "teacher_dtype"), list(itertools.product(DTYPES, DTYPES)))
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_any_mix_of_dtypes(ops, student_dtype, teacher_dtype, layout):
    shape = (2, 24, 5, 16)
    check(ops, layout(features(shape, student_dtype)), layout(features(shape, teacher_dtype, seed=1)))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_any_mix_of_layouts(ops, first, second):
    shape = (2, 12, 5, 7)
    student = first(features(shape))
    _, result = check(ops, student, second(features(shape, seed=1)))
    wanted = torch.channels_last if first is channels_last else torch.contiguous_format
    assert result.is_contiguous(memory_format=wanted)


@pytest.mark.parametrize("layout", [contiguous, channels_last])
@pytest.mark.parametrize("channels", [512, 1100])
def test_more_channels_than_are_kept(ops, layout, channels):
    shape = (1, channels, 3, 8)
    check(ops, layout(features(shape)), layout(features(shape, seed=1)))


@pytest.mark.parametrize("layout", [contiguous, channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_that_is_not_aligned(ops, layout, dtype):
    shape = (1, 8, 4, 8)
    shifted = []
    for seed in (0, 1):
        flat = layout(features(shape, dtype, seed))
        memory = torch.empty(flat.numel() + 1, dtype=dtype)
        shifted.append(memory[1:].as_strided(shape, flat.stride(), 1).copy_(flat))
    check(ops, *shifted)


def test_zero_vectors_have_no_gradient(ops):
    student, teacher = features((1, 6, 3, 4)), features((1, 6, 3, 4), seed=1)
    student[:, :, 1, 2] = 0
    teacher[:, :, 2, 0] = 0
    _, result = ops.cosine_loss(student, teacher, EPS, 1.0, True)
    assert not result[:, :, 1, 2].any()
    assert result.isfinite().all()


def test_two_runs_agree_in_every_bit(ops):
    student, teacher = features((2, 19, 23, 29)), features((2, 19, 23, 29), seed=1)
    first, second = (ops.cosine_loss(student, teacher, EPS, 1.0, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grad_dtype", [torch.float32, torch.float64])
def test_rescale(ops, dtype, grad_dtype):
    values = features((3, 5, 7), dtype)
    expected = values.double() * 1.5
    result = values.clone()
    ops.rescale_(result, torch.tensor(0.75, dtype=grad_dtype), 0.5)
    rounding = {torch.float64: 1e-15, torch.float32: 2e-7, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    torch.testing.assert_close(result.double(), expected, rtol=rounding, atol=0)


def test_rescale_by_one_leaves_every_bit(ops):
    values = torch.tensor([float("nan"), 1.0, -0.0, 1e-40])
    result = values.clone()
    ops.rescale_(result, torch.tensor(0.3), torch.tensor(0.3).item())
    assert torch.equal(result.view(torch.int32), values.view(torch.int32))


def test_messages(ops):
    student = features((1, 2, 3, 4))
    with pytest.raises(RuntimeError, match=r"cosine_loss: teacher must have shape .* got \(1, 2, 3, 5\)"):
        ops.cosine_loss(student, features((1, 2, 3, 5)), EPS, 1.0, True)
    with pytest.raises(RuntimeError, match="cosine_loss: eps must not be negative"):
        ops.cosine_loss(student, student, -1.0, 1.0, True)
    with pytest.raises(RuntimeError, match="rescale_: scale must not be 0"):
        ops.rescale_(student, torch.tensor(1.0), 0.0)
    with pytest.raises(RuntimeError, match="rescale_: grad must have shape"):
        ops.rescale_(student, torch.ones(2), 1.0)
