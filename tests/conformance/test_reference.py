"""The reference in every dtype, and the oracle itself: values worked out by hand."""

import math

import pytest
import torch

from skt_ext.ops import OPERATORS
from tests.conformance.backends import Reference
from tests.conformance.suite import Conformance
from tests.conformance.tensors import DOUBLE


class TestReference(Conformance):
    backend = Reference()


def test_cosine_loss_by_hand():
    # Pixel 0: s = (3, 4), t = (1, 0): 1 - 3/5. Pixel 1: s = (0, 2), t = (0, -7): 1 + 1. Pixel 2: t = 0: 1.
    student = torch.tensor([[[[3.0, 0.0, 1.0]], [[4.0, 2.0, 1.0]]]])
    teacher = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, -7.0, 0.0]]]])
    distance, gradient = OPERATORS["cosine_loss"].reference(student, teacher, 1e-8, 1.0, True, True)
    torch.testing.assert_close(distance, torch.tensor([[[0.4, 2.0, 1.0]]]))
    # -(t / (|s||t|) - (s.t) s / (|s|^3 |t|)), pixel 0: -((1, 0)/5 - 3 (3, 4)/125) = (-16, 12)/125.
    # Pixel 1 is at its maximum, and pixel 2 has no direction to go: 0.
    torch.testing.assert_close(gradient, torch.tensor([[[[-0.128, 0.0, 0.0]], [[0.096, 0.0, 0.0]]]]))


def test_pool_and_pack_by_hand():
    # 2x2 windows of [[1, 5, 3], [4, 2, 0], [7, 7, 6]]: 5 (offset 1), 3 (0), the first 7 (0), 6 (0).
    large = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 0.0], [7.0, 7.0, 6.0]]).reshape(1, 1, 3, 3)
    small = torch.tensor([[1.0, -1.0], [1.0, -1.0]]).reshape(1, 1, 2, 2)
    operator = OPERATORS["pool_and_pack"].reference
    packed, argmax, _ = operator([large, small], [2, 2, 1, 1], False, True)
    assert packed.tolist() == [[[5.0, 3.0, 7.0, 6.0], [1.0, -1.0, 1.0, -1.0]]]
    assert argmax.tolist() == [[[1, 0, 0, 0], [0, 0, 0, 0]]]
    packed, _, inverse_deviation = operator([small], [1, 1], True, False)  # mean 0, variance 1
    torch.testing.assert_close(inverse_deviation, torch.tensor([[1.00001**-0.5]]))
    torch.testing.assert_close(packed, small.flatten(2) * 1.00001**-0.5)


def test_dense_fsp_distance_by_hand():
    # Three features of one channel and two positions.
    # T = (1, 1), (2, 0), (0, 4): T1.T2/2 = 1, T1.T3/2 = 2, T2.T3/2 = 0.
    # S = (1, 0), (1, 1), (2, 2): S1.S2/2 = 1/2, S1.S3/2 = 1, S2.S3/2 = 2. D12 = 1/2, D13 = 1, D23 = -2.
    teacher = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, 4.0]]])
    student = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [2.0, 2.0]]])
    options = ([1, 1, 1], False, "float32")
    distance, difference = OPERATORS["dense_fsp_distance"].reference(student, teacher, *options)
    assert difference.tolist() == [[[0.0, 0.5, 1.0], [0.5, 0.0, -2.0], [1.0, -2.0, 0.0]]]
    assert distance.tolist() == [0.25 + 1.0 + 4.0]
    # -(2/P) D S with P = 2. Row 1: -(0.5 (1, 1) + 1 (2, 2)); row 2: -(0.5 (1, 0) - 2 (2, 2));
    # row 3: -((1, 0) - 2 (1, 1)).
    backward = OPERATORS["dense_fsp_distance_backward"].reference
    result = backward(torch.ones(1), student, difference, *options)
    assert result.tolist() == [[[-2.5, -2.5], [3.5, 4.0], [1.0, 2.0]]]


def test_embedded_distance_by_hand():
    # h = ReLU((2, -1) s): s = 3 -> (6, 0), s = -4 -> (0, 4). t = (1, 0) and (3, 4): distances 0 and 1 - 4/5.
    student = torch.tensor([3.0, -4.0]).reshape(1, 1, 1, 2)
    teacher = torch.tensor([[1.0, 3.0], [0.0, 4.0]]).reshape(1, 2, 1, 2)
    operator = OPERATORS["embedded_distance"].reference
    loss, pooled, argmax, statistics = operator(
        student, torch.tensor([[2.0], [-1.0]]), None, teacher, True, 1e-8, 1, 2
    )
    torch.testing.assert_close(loss, torch.tensor(0.2))
    assert pooled.flatten().tolist() == [6.0, 4.0]
    assert argmax.flatten().tolist() == [0, 1]
    assert statistics.flatten().tolist() == [6.0, 16.0, 36.0, 16.0, 1.0, 25.0]


def test_density_splat_by_hand():
    # sigma 0.5, truncate 2: radius int(2 * 0.5 + 0.5) = 1; profile e^-2, 1, e^-2 over its sum 1 + 2 e^-2.
    # One row only, the person in column 0: the map keeps the centre row's factor 1 / s and columns 0 and 1.
    e = math.exp(-2)
    s = 1 + 2 * e
    points = torch.tensor([[[0.9, 0.2]]], dtype=DOUBLE)
    sigma = torch.full((1, 1, 2), 0.5, dtype=DOUBLE)

    def row(stride, conserve, subpixel=False):
        operator = OPERATORS["density_splat"].reference
        return operator(points, sigma, torch.tensor([0, 1]), 1, 4, stride, 2.0, conserve, subpixel, None)[0]

    torch.testing.assert_close(row(1, False), torch.tensor([[1 / s**2, e / s**2, 0.0, 0.0]]))
    torch.testing.assert_close(row(1, True), torch.tensor([[1 / (1 + e), e / (1 + e), 0.0, 0.0]]))
    torch.testing.assert_close(row(2, False), torch.tensor([[(1 + e) / s**2, 0.0]]))
    # 0.4 pixels right of the middle of pixel 0 and 0.6 left of that of pixel 1: exp(-2 * 0.16), exp(-2 * 0.36)
    a, b = math.exp(-0.32), math.exp(-0.72)
    expected = torch.tensor([[a / (a + b), b / (a + b), 0, 0]])
    torch.testing.assert_close(row(1, True, subpixel=True), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_zero_student_has_distance_one_and_no_gradient(dtype):
    """torch's own formula gives 1 / eps here, which is infinite in float16."""
    student, teacher = torch.zeros(1, 4, 2, 3, dtype=dtype), torch.ones(1, 4, 2, 3, dtype=dtype)
    loss, gradient = OPERATORS["cosine_loss"].reference(student, teacher, 1e-8, 1.0, True, False)
    assert loss.item() == 6
    assert gradient.eq(0).all()
