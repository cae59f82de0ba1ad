"""Operator cosine_distance: values and gradients against the float64 reference and plain autograd."""

import pytest
import torch
import torch.nn.functional as F

import skt_ext  # noqa: F401  (registers the operators)
from skt_ext import reference
from skt_ext._numerics import memory_format_of
from tests.ops import op_samples
from tests.ops.op_samples import TOLERANCES, gradient
from tests.support.random_features import FLOATS, on_every_device, random_feature

EPS = 1e-8
op = torch.ops.skt_ext.cosine_distance


def true_distance(student: torch.Tensor, teacher: torch.Tensor, eps: float = EPS) -> torch.Tensor:
    """torch's own cosine in float64, an implementation independent of ours."""
    return 1 - F.cosine_similarity(student.double(), teacher.double(), dim=1, eps=eps)


@on_every_device
@op_samples.in_every_layout
@op_samples.of_every_shape
def test_distance_statistics_and_gradient_in_float64(shape, layout, device):
    student = random_feature(shape, seed=1, layout=layout, device=device).requires_grad_()
    teacher = random_feature(shape, seed=2, layout=layout, device=device)
    weight = random_feature((shape[0], *shape[2:]), seed=3, device=device)

    distance, statistics = op(student, teacher, EPS)
    expected = true_distance(student, teacher)
    torch.testing.assert_close(distance, expected, **TOLERANCES[torch.float64])
    products = [(student * teacher).sum(1), (student * student).sum(1), (teacher * teacher).sum(1)]
    torch.testing.assert_close(statistics, torch.stack(products, 1).detach(), **TOLERANCES[torch.float64])

    result = gradient(distance, weight, student)
    assert result.is_contiguous(memory_format=memory_format_of(student))
    torch.testing.assert_close(result, gradient(expected, weight, student), **TOLERANCES[torch.float64])


@on_every_device
@pytest.mark.parametrize(("student_dtype", "teacher_dtype"), list(op_samples.float_pairs()), ids=str)
@pytest.mark.parametrize("layouts", [("contiguous", "contiguous"), ("channels_last", "permuted")], ids=str)
def test_every_dtype_computes_as_well_as_its_accumulator(student_dtype, teacher_dtype, layouts, device):
    shape = (2, 37, 5, 7)
    student = random_feature(
        shape, seed=4, dtype=student_dtype, layout=layouts[0], device=device
    ).requires_grad_()
    teacher = random_feature(shape, seed=5, dtype=teacher_dtype, layout=layouts[1], device=device)
    accumulator = torch.float64 if torch.float64 in (student_dtype, teacher_dtype) else torch.float32

    distance, statistics = op(student, teacher, EPS)
    assert distance.dtype == statistics.dtype == accumulator
    expected = true_distance(student, teacher)
    torch.testing.assert_close(distance.double(), expected, **TOLERANCES[accumulator])

    weight = torch.ones_like(distance)
    result = gradient(distance, weight, student)
    assert result.dtype == student_dtype
    assert result.is_contiguous(memory_format=memory_format_of(student))
    assert (memory_format_of(student) == torch.channels_last) == (layouts[0] == "channels_last")
    truth = student.detach().double().requires_grad_()
    torch.testing.assert_close(
        result.double(),
        gradient(true_distance(truth, teacher), weight, truth),
        **TOLERANCES[student_dtype],
    )


@on_every_device
def test_by_hand(device):
    # Pixel 0: s = (3, 4), t = (1, 0): 1 - 3/5. Pixel 1: s = (0, 2), t = (0, -7): 1 + 1. Pixel 2: t = 0: 1.
    student = torch.tensor([[[[3.0, 0.0, 1.0]], [[4.0, 2.0, 1.0]]]], device=device, requires_grad=True)
    teacher = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, -7.0, 0.0]]]], device=device)
    distance, statistics = op(student, teacher, EPS)
    torch.testing.assert_close(distance, torch.tensor([[[0.4, 2.0, 1.0]]], device=device))
    expected = [[[[3.0, -14.0, 0.0]], [[25.0, 4.0, 2.0]], [[1.0, 49.0, 0.0]]]]
    torch.testing.assert_close(statistics, torch.tensor(expected, device=device))
    # -(t / (|s||t|) - (s.t) s / (|s|^3 |t|)), pixel 0: -((1, 0)/5 - 3 (3, 4)/125) = (-16, 12)/125.
    # Pixel 1 is at its maximum, and pixel 2 has no direction to go: 0.
    result = gradient(distance, torch.ones_like(distance), student)
    expected = torch.tensor([[[[-0.128, 0.0, 0.0]], [[0.096, 0.0, 0.0]]]], device=device)
    torch.testing.assert_close(result, expected)


@on_every_device
def test_gradcheck(device):
    teacher = random_feature((2, 3, 4, 5), seed=1, device=device)
    student = random_feature((2, 3, 4, 5), seed=2, device=device).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: op(s, teacher, EPS)[0], (student,))


@on_every_device
def test_gradcheck_where_eps_clamps_the_length(device):
    """Some of these student and teacher vectors are shorter than eps, none is within 1e-6 of it."""
    student = random_feature((1, 3, 4, 5), seed=6, device=device).requires_grad_()
    teacher = random_feature((1, 3, 4, 5), seed=7, device=device)
    lengths = torch.cat([student.detach().norm(dim=1), teacher.norm(dim=1)])
    eps = 1.5
    assert (lengths < eps).any()
    assert (lengths > eps).any()
    assert (lengths - eps).abs().min() > 1e-5
    assert torch.autograd.gradcheck(lambda s: op(s, teacher, eps)[0], (student,))
    torch.testing.assert_close(op(student, teacher, eps)[0], true_distance(student, teacher, eps))


@on_every_device
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_zero_student_vector_has_distance_one_and_no_gradient(dtype, device):
    """torch's own formula gives 1 / eps here, which is infinite in float16."""
    student = torch.zeros(1, 4, 2, 3, dtype=dtype, device=device, requires_grad=True)
    teacher = random_feature((1, 4, 2, 3), dtype=dtype, device=device)
    distance, _ = op(student, teacher, EPS)
    assert distance.eq(1).all()
    assert gradient(distance, torch.ones_like(distance), student).eq(0).all()


@on_every_device
def test_the_incoming_gradient_may_be_an_expanded_scalar(device):
    student = random_feature((2, 3, 5, 4), seed=8, device=device)
    teacher = random_feature((2, 3, 5, 4), seed=9, device=device)
    _, statistics = op(student, teacher, EPS)
    scalar = torch.full((), 0.5, dtype=torch.float64, device=device).expand(2, 5, 4)
    backward = torch.ops.skt_ext.cosine_distance_backward
    expanded = backward(scalar, student, teacher, statistics, EPS)
    assert torch.equal(expanded, backward(scalar.contiguous(), student, teacher, statistics, EPS))
    torch.testing.assert_close(
        expanded, reference.cosine_distance_backward(scalar, student, teacher, statistics, EPS)
    )


@on_every_device
@op_samples.in_every_layout
def test_a_batch_equals_its_single_images_and_runs_repeat_bit_for_bit(layout, device):
    student = random_feature((3, 19, 7, 9), seed=1, dtype=torch.float32, layout=layout, device=device)
    teacher = random_feature((3, 19, 7, 9), seed=2, dtype=torch.float32, layout=layout, device=device)
    distance, statistics = op(student, teacher, EPS)
    again = op(student, teacher, EPS)
    assert torch.equal(distance, again[0])
    assert torch.equal(statistics, again[1])
    for index in range(3):
        image = slice(index, index + 1)
        single, _ = op(student[image], teacher[image], EPS)
        torch.testing.assert_close(single, distance[image], rtol=1e-6, atol=1e-6)
