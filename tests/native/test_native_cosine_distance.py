import itertools
import math

import pytest
import torch

from tests.native.layouts import LAYOUTS, channels_last, contiguous

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
EPS = 1e-8
# Of a gradient times the student's length, whose terms are of the order of one: rounding to the student's dtype.
GRADIENT_ERROR = {torch.float64: 1e-13, torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def features(shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def formula(student, teacher, eps=EPS):
    """Distance and statistics in float64."""
    s, t = student.double(), teacher.double()
    dot, s2, t2 = (s * t).sum(1), (s * s).sum(1), (t * t).sum(1)
    return 1 - dot / (s2.sqrt().clamp(min=eps) * t2.sqrt().clamp(min=eps)), torch.stack([dot, s2, t2], 1)


def gradient(grad, student, teacher, eps=EPS):
    leaf = student.double().requires_grad_()
    distance, _ = formula(leaf, teacher, eps)
    (result,) = torch.autograd.grad(distance, leaf, grad.double())
    return result


def check_both_passes(ops, student, teacher, eps=EPS):
    distance, statistics = ops.cosine_distance(student, teacher, eps)
    expected, expected_statistics = formula(student, teacher, eps)
    double = torch.float64 in (student.dtype, teacher.dtype)
    assert distance.dtype == statistics.dtype == (torch.float64 if double else torch.float32)
    error = 1e-12 if double else 1e-6
    torch.testing.assert_close(distance.double(), expected, atol=error, rtol=0)
    scale = expected_statistics[:, 1:].amax() if distance.numel() else 1
    torch.testing.assert_close(statistics.double(), expected_statistics, atol=float(error * scale), rtol=0)

    grad = features(distance.shape, distance.dtype, seed=7)
    result = ops.cosine_distance_backward(grad, student, teacher, statistics, eps)
    assert result.dtype == student.dtype
    length = student.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        result.double() * length,
        gradient(grad, student, teacher, eps) * length,
        atol=GRADIENT_ERROR[student.dtype] * max(1.0, grad.abs().max().item() if grad.numel() else 1),
        rtol=0,
    )
    return distance, result


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (7, 31, 37), (64, 9, 4), (5, 0, 3), (67, 1, 1100)])
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_both_passes_match_the_formula(ops, batch, shape, layout):
    check_both_passes(ops, layout(features((batch, *shape))), layout(features((batch, *shape), seed=1)))


@pytest.mark.parametrize(("student_dtype", "teacher_dtype"), list(itertools.product(DTYPES, DTYPES)))
@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_any_mix_of_dtypes(ops, student_dtype, teacher_dtype, layout):
    shape = (2, 19, 7, 11)
    check_both_passes(
        ops, layout(features(shape, student_dtype)), layout(features(shape, teacher_dtype, seed=1))
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_any_mix_of_layouts(ops, first, second):
    shape = (2, 9, 6, 5)
    for dtype in (torch.float32, torch.float16):
        check_both_passes(ops, first(features(shape, dtype)), second(features(shape, dtype, seed=1)))


def test_expanded_teacher(ops):
    shape = (2, 9, 6, 5)
    check_both_passes(ops, features(shape), features((1, 9, 1, 5), seed=1).expand(shape))


def test_no_channels(ops):
    distance, statistics = ops.cosine_distance(torch.ones(1, 0, 2, 2), torch.ones(1, 0, 2, 2), EPS)
    assert torch.equal(distance, torch.ones(1, 2, 2))
    assert torch.equal(statistics, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_gradient_has_the_memory_format_of_the_student(ops, layout):
    student, teacher = layout(features((2, 3, 4, 5))), features((2, 3, 4, 5), seed=1)
    _, statistics = ops.cosine_distance(student, teacher, EPS)
    result = ops.cosine_distance_backward(torch.ones(2, 4, 5), student, teacher, statistics, EPS)
    assert result.stride() == student.stride()


def test_expanded_gradient_of_a_sum(ops):
    student, teacher = features((2, 3, 4, 5)), features((2, 3, 4, 5), seed=1)
    _, statistics = ops.cosine_distance(student, teacher, EPS)
    expanded = torch.tensor(0.5).expand(2, 4, 5)
    result = ops.cosine_distance_backward(expanded, student, teacher, statistics, EPS)
    assert torch.equal(
        result, ops.cosine_distance_backward(torch.full((2, 4, 5), 0.5), student, teacher, statistics, EPS)
    )


def test_zero_student_vector_has_distance_one_and_no_gradient(ops):
    student, teacher = features((1, 8, 3, 3), torch.float16), features((1, 8, 3, 3), torch.float16, seed=1)
    student[:, :, 1, 2] = 0
    distance, statistics = ops.cosine_distance(student, teacher, EPS)
    result = ops.cosine_distance_backward(torch.ones(1, 3, 3), student, teacher, statistics, EPS)
    assert distance[0, 1, 2] == 1
    assert torch.count_nonzero(result[:, :, 1, 2]) == 0
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_clamped_length_follows_the_clamped_formula(ops, layout):
    # A large eps clamps half of the pixels' lengths; there the student's length is a constant of the formula.
    student, teacher = layout(features((1, 4, 9, 9))), layout(features((1, 4, 9, 9), seed=1))
    lengths = student.double().norm(dim=1)
    assert (lengths < 1.9).any()
    assert (lengths > 1.9).any()
    check_both_passes(ops, student, teacher, eps=1.9)


@pytest.mark.parametrize("layout", [contiguous, channels_last])
def test_equal_features_have_distance_zero(ops, layout):
    x = layout(features((1, 512, 5, 5)))
    distance, _ = ops.cosine_distance(x, x, EPS)
    assert distance.abs().max() < 3e-7


def test_every_float16_value_is_read_exactly(ops):
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    values = bits.view(torch.float16)
    values = values[torch.isfinite(values)].view(1, 1, 1, -1)
    _, statistics = ops.cosine_distance(values, torch.ones_like(values), EPS)
    assert torch.equal(statistics[:, 0], values.float()[:, 0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_round_to_nearest_even_as_torch_does(ops, dtype):
    # s . t = 0, |s| = |t| = 1: the gradient is exactly -grad * t, before it is rounded.
    grad = torch.cat(
        [torch.logspace(-9, 5, 4001), torch.tensor([0.0, 65519.0, 65520.0, 2049.0, 2051.0, 1e38, math.nan])]
    )
    count = grad.numel()
    student = torch.zeros(1, 2, 1, count, dtype=dtype)
    teacher = torch.zeros(1, 2, 1, count, dtype=dtype)
    student[:, 0], teacher[:, 1] = 1, 1
    _, statistics = ops.cosine_distance(student, teacher, EPS)
    result = ops.cosine_distance_backward(grad.view(1, 1, count), student, teacher, statistics, EPS)
    torch.testing.assert_close(result[0, 1, 0], (-grad).to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("layout", [contiguous, channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_bits_do_not_depend_on_the_number_of_threads(ops, on_threads, layout, dtype):
    student, teacher = (
        layout(features((3, 65, 41, 43), dtype)),
        layout(features((3, 65, 41, 43), dtype, seed=1)),
    )

    def both():
        distance, statistics = ops.cosine_distance(student, teacher, EPS)
        return distance, statistics, ops.cosine_distance_backward(distance, student, teacher, statistics, EPS)

    for one, two in zip(on_threads(1, both), on_threads(2, both), strict=True):
        assert torch.equal(one, two)


def test_messages_name_the_argument_and_what_came(ops):
    x = torch.ones(1, 2, 3, 4)
    with pytest.raises(
        RuntimeError,
        match=r"skt_ext::cosine_distance: student must have the axes \(N, C, H, W\); got shape \(2, 3\)",
    ):
        ops.cosine_distance(torch.ones(2, 3), x, EPS)
    with pytest.raises(
        RuntimeError,
        match=r"teacher must have shape \(N, C, H, W\) of student = \(1, 2, 3, 4\); got \(1, 2, 3, 5\)",
    ):
        ops.cosine_distance(x, torch.ones(1, 2, 3, 5), EPS)
    with pytest.raises(
        RuntimeError, match="teacher must have dtype Double or Float or Half or BFloat16; got Int"
    ):
        ops.cosine_distance(x, x.int(), EPS)
    with pytest.raises(RuntimeError, match="eps must not be negative; got -1"):
        ops.cosine_distance(x, x, -1.0)
    _, statistics = ops.cosine_distance(x, x, EPS)
    with pytest.raises(RuntimeError, match=r"grad must have shape \(N, H, W\) = \(1, 3, 4\); got \(3, 4\)"):
        ops.cosine_distance_backward(torch.ones(3, 4), x, x, statistics, EPS)
    with pytest.raises(RuntimeError, match="statistics must have dtype Float; got Double"):
        ops.cosine_distance_backward(torch.ones(1, 3, 4), x, x, statistics.double(), EPS)
