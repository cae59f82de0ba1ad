import itertools

import pytest
import torch
import torch.nn.functional as F

from tests.native.layouts import LAYOUTS, channels_last, contiguous

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
EPS = 1e-8
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def formula(student, weight, bias, teacher, relu, kernel):
    """Loss and pooled map in float64, for autograd to differentiate."""
    h = F.conv2d(student, weight[:, :, None, None], bias)
    h = h.relu() if relu else h
    loss = h.new_zeros(()) if teacher is None else (1 - F.cosine_similarity(h, teacher, dim=1, eps=EPS)).sum()
    pooled = F.max_pool2d(h, kernel, ceil_mode=True) if kernel != (0, 0) else h.new_zeros(0)
    return loss, pooled


def close(found, expected, error):
    expected = expected.detach()
    largest = float(expected.abs().max()) if expected.numel() else 0
    torch.testing.assert_close(found.double(), expected, rtol=error, atol=error * (largest + 1))


def check_both_passes(ops, student, weight, bias, teacher, relu=True, kernel=(2, 2)):
    operands = [x for x in (student, weight, bias, teacher) if x is not None]
    accumulator = torch.float64 if any(x.dtype == torch.float64 for x in operands) else torch.float32
    error = ROUNDING[accumulator]
    loss, pooled, argmax, statistics = ops.embedded_distance(
        student, weight, bias, teacher, relu, EPS, *kernel
    )
    leaves = [None if x is None else x.detach().double().requires_grad_() for x in (student, weight, bias)]
    expected_loss, expected_pooled = formula(
        *leaves, None if teacher is None else teacher.double(), relu, kernel
    )
    assert loss.dtype == pooled.dtype == statistics.dtype == accumulator
    assert argmax.dtype == torch.uint8
    assert argmax.shape == pooled.shape
    close(loss, expected_loss, error)
    close(pooled, expected_pooled, error)

    grad_loss = torch.tensor(0.7, dtype=accumulator)
    grad_pooled = normal(*pooled.shape, dtype=accumulator, seed=5) if kernel != (0, 0) else None
    objective = 0.7 * expected_loss
    if grad_pooled is not None:
        objective = objective + (grad_pooled.double() * expected_pooled).sum()
    wanted = torch.autograd.grad(objective, [x for x in leaves if x is not None])
    found = ops.embedded_distance_backward(
        grad_loss, grad_pooled, student, weight, bias, teacher, argmax, statistics, relu, EPS, *kernel
    )
    for result, expected, like in zip(found, wanted, (student, weight, bias), strict=False):
        assert result.dtype == like.dtype
        close(result, expected, max(error, ROUNDING[like.dtype]))
    if bias is None:
        assert found[2].shape == (0,)


@pytest.mark.parametrize("of_student", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("of_teacher", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(ops, of_student, of_teacher):
    student, teacher = of_student(normal(2, 4, 6, 8)), of_teacher(normal(2, 12, 6, 8, seed=1))
    check_both_passes(ops, student, normal(12, 4, seed=2), normal(12, seed=3), teacher)


@pytest.mark.parametrize("layout", [contiguous, channels_last], ids=lambda layout: layout.__name__)
@pytest.mark.parametrize(("of_student", "of_teacher"), list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_dtypes(ops, of_student, of_teacher, layout):
    student = layout(normal(1, 8, 5, 8, dtype=of_student))
    teacher = layout(normal(1, 16, 5, 8, dtype=of_teacher, seed=1))
    check_both_passes(ops, student, normal(16, 8, seed=2), normal(16, seed=3), teacher)


@pytest.mark.parametrize(
    ("relu", "bias", "compares"), list(itertools.product([False, True], repeat=3)), ids=str
)
@pytest.mark.parametrize("kernel", [(0, 0), (1, 1), (2, 2), (4, 8), (3, 5)], ids=str)
def test_options(ops, relu, bias, compares, kernel):
    if not compares and kernel == (0, 0):
        loss, pooled, argmax, statistics = ops.embedded_distance(
            normal(1, 3, 7, 9), normal(10, 3), None, None, relu, EPS, 0, 0
        )
        assert loss == 0
        assert pooled.shape == argmax.shape == statistics.shape == (0,)
        return
    check_both_passes(
        ops, normal(2, 3, 7, 9), normal(10, 3, seed=2), normal(10, seed=3) if bias else None,
        normal(2, 10, 7, 9, seed=1) if compares else None, relu, kernel,
    )  # fmt: skip


@pytest.mark.parametrize("channels", [(1, 2), (17, 65), (65, 130)], ids=str)
def test_odd_numbers_of_channels(ops, channels):
    inputs, outputs = channels
    teacher = normal(1, outputs, 3, 5, seed=1)
    check_both_passes(ops, normal(1, inputs, 3, 5), normal(outputs, inputs, seed=2), None, teacher)


def test_empty_batch(ops):
    student, weight, teacher = torch.zeros(0, 3, 4, 4), torch.ones(5, 3), torch.zeros(0, 5, 4, 4)
    loss, pooled, argmax, statistics = ops.embedded_distance(student, weight, None, teacher, True, EPS, 2, 2)
    assert loss == 0
    assert pooled.shape == (0, 5, 2, 2)
    gradients = ops.embedded_distance_backward(
        torch.ones(()), pooled, student, weight, None, teacher, argmax, statistics, True, EPS, 2, 2
    )
    assert gradients[0].shape == student.shape
    assert not gradients[1].any()


def test_a_wrong_shape_is_named(ops):
    with pytest.raises(RuntimeError, match=r"weight must have shape \(Ct, Cs\) = \(4, 2\); got \(4, 3\)"):
        ops.embedded_distance(torch.zeros(1, 2, 3, 3), torch.zeros(4, 3), None, None, True, EPS, 1, 1)
