"""Operator dense_fsp_distance: distances and gradients against products written pair by pair."""

import pytest
import torch

import skt_ext  # noqa: F401  (registers the operators)
from tests.ops.op_samples import TOLERANCES, gradient
from tests.support.random_features import on_every_device, random_feature

op = torch.ops.skt_ext.dense_fsp_distance

CASES = [  # (N, channels, P)
    (0, [2, 3], 4),
    (1, [1, 1], 1),
    (3, [2, 1, 4], 5),
    (2, [7, 3, 5, 1], 13),
    (1, [4], 6),  # a single feature has no pair
    (1, [33, 17], 70),
]


def true_distance(
    student: torch.Tensor, teacher: torch.Tensor, channels: list[int], adjacent: bool
) -> torch.Tensor:
    """Equations 5 and 6, one pair at a time."""
    student_parts, teacher_parts = student.split(channels, 1), teacher.split(channels, 1)
    total = student.new_zeros(student.shape[0])
    for i in range(len(channels)):
        for j in range(i + 1, min(i + 2, len(channels)) if adjacent else len(channels)):
            matrices = [parts[i] @ parts[j].mT / student.shape[2] for parts in (teacher_parts, student_parts)]
            total = total + (matrices[0] - matrices[1]).square().sum((1, 2))
    return total


@on_every_device
@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("batch", "channels", "positions"), CASES)
def test_values_and_gradient(batch, channels, positions, dtype, adjacent, device):
    shape = (batch, sum(channels), positions)
    student = random_feature(shape, seed=1, dtype=dtype, device=device).requires_grad_()
    teacher = random_feature(shape, seed=2, dtype=dtype, device=device)
    distance, difference = op(student, teacher, channels, adjacent, "float32")
    assert distance.dtype == difference.dtype == dtype
    truth = student.detach().double().requires_grad_()
    expected = true_distance(truth, teacher.double(), channels, adjacent)
    torch.testing.assert_close(distance.double(), expected, **TOLERANCES[dtype])
    assert torch.equal(difference, difference.mT)

    if len(channels) > 1:
        weight = random_feature((batch,), seed=3, device=device)
        torch.testing.assert_close(
            gradient(distance, weight, student).double(),
            gradient(expected, weight, truth),
            rtol=1e-9 if dtype == torch.float64 else 1e-4,
            atol=1e-10 if dtype == torch.float64 else 1e-5,
        )


@on_every_device
def test_by_hand(device):
    # Three features of one channel and two positions.
    # T = (1, 1), (2, 0), (0, 4): T1.T2/2 = 1, T1.T3/2 = 2, T2.T3/2 = 0.
    # S = (1, 0), (1, 1), (2, 2): S1.S2/2 = 1/2, S1.S3/2 = 1, S2.S3/2 = 2. D12 = 1/2, D13 = 1, D23 = -2.
    teacher = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, 4.0]]], device=device)
    student = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [2.0, 2.0]]], device=device, requires_grad=True)
    distance, difference = op(student, teacher, [1, 1, 1], False, "float32")
    assert difference.tolist() == [[[0.0, 0.5, 1.0], [0.5, 0.0, -2.0], [1.0, -2.0, 0.0]]]
    assert distance.tolist() == [0.25 + 1.0 + 4.0]
    # -(2/P) D S with P = 2. Row 1: -(0.5 (1, 1) + 1 (2, 2)); row 2: -(0.5 (1, 0) - 2 (2, 2));
    # row 3: -((1, 0) - 2 (1, 1)).
    result = gradient(distance, torch.ones_like(distance), student)
    assert result.tolist() == [[[-2.5, -2.5], [3.5, 4.0], [1.0, 2.0]]]

    distance, difference = op(student, teacher, [1, 1, 1], True, "float32")
    assert difference.tolist() == [[[0.0, 0.5, 0.0], [0.5, 0.0, -2.0], [0.0, -2.0, 0.0]]]
    assert distance.tolist() == [0.25 + 4.0]


@on_every_device
@pytest.mark.parametrize("adjacent", [False, True])
def test_gradcheck(adjacent, device):
    student = random_feature((2, 6, 4), seed=1, device=device).requires_grad_()
    teacher = random_feature((2, 6, 4), seed=2, device=device)
    assert torch.autograd.gradcheck(lambda s: op(s, teacher, [2, 1, 3], adjacent, "float32")[0], (student,))


@on_every_device
def test_a_batch_equals_its_single_images_and_runs_repeat_bit_for_bit(device):
    student = random_feature((3, 11, 29), seed=1, dtype=torch.float32, device=device)
    teacher = random_feature((3, 11, 29), seed=2, dtype=torch.float32, device=device)
    distance, _ = op(student, teacher, [4, 7], False, "float32")
    assert torch.equal(distance, op(student, teacher, [4, 7], False, "float32")[0])
    for index in range(3):
        image = slice(index, index + 1)
        torch.testing.assert_close(
            op(student[image], teacher[image], [4, 7], False, "float32")[0], distance[image]
        )


@on_every_device
def test_autocast_does_not_lower_the_precision(device):
    student = random_feature((1, 8, 50), seed=1, dtype=torch.float32, device=device).requires_grad_()
    teacher = random_feature((1, 8, 50), seed=2, dtype=torch.float32, device=device)
    plain, _ = op(student, teacher, [3, 5], False, "float32")
    plain_gradient = gradient(plain, torch.ones_like(plain), student)
    with torch.autocast(device, dtype=torch.bfloat16):
        distance, _ = op(student, teacher, [3, 5], False, "float32")
        result = gradient(distance, torch.ones_like(distance), student)
    assert torch.equal(distance, plain)
    assert torch.equal(result, plain_gradient)
