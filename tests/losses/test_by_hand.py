"""Values worked out by hand from the equations, for inputs small enough to follow."""

import pytest
import torch

from skt_ext import losses


def feature(*channels: list[list[float]]) -> torch.Tensor:
    """One image: a list of rows for each channel."""
    return torch.tensor(channels, dtype=torch.float64).unsqueeze(0)


def test_cosine_equations_3_and_4():
    # Pixel (0, 0): s = (3, 4), t = (4, 3): cos = (12 + 12) / (5 * 5) = 0.96 -> 0.04
    # Pixel (0, 1): s = (1, 0), t = (0, 2): cos = 0                        -> 1
    # Pixel (1, 0): s = (-2, 0), t = (5, 0): cos = -10 / 10 = -1           -> 2
    # Pixel (1, 1): s = (1, 1), t = (1, 0): cos = 1 / sqrt(2)              -> 1 - 0.70710678
    student = feature([[3, 1], [-2, 1]], [[4, 0], [0, 1]])
    teacher = feature([[4, 0], [5, 1]], [[3, 2], [0, 0]])
    distances = losses.cosine_transfer_loss(student, teacher, reduction="none")
    expected = torch.tensor([[[0.04, 1.0], [2.0, 1 - 0.5**0.5]]], dtype=torch.float64)
    torch.testing.assert_close(distances, expected)
    total = losses.cosine_transfer_loss(student, teacher)
    assert total.item() == pytest.approx(3.04 + 1 - 0.5**0.5)


def test_cosine_eps_bounds_each_length():
    # |s| = 0.5 counts as 2, |t| = 4 stays: 1 - 0.5 * 4 / (2 * 4) = 0.75
    value = losses.cosine_transfer_loss(feature([[0.5]]), feature([[4.0]]), eps=2.0)
    assert value.item() == 0.75


def test_l2():
    # Pixel 0: (1 - 3)^2 + (2 - 2)^2 = 4; pixel 1: (0 - 1)^2 + (5 - 2)^2 = 10
    student, teacher = feature([[1, 0]], [[2, 5]]), feature([[3, 1]], [[2, 2]])
    assert losses.l2_transfer_loss(student, teacher, reduction="none").tolist() == [[[4.0, 10.0]]]
    assert losses.l2_transfer_loss(student, teacher).item() == 14.0


def test_fsp_matrix_equation_5():
    # first: a = (1, 2, 3, 4), b = (0, 1, 0, 1); second: c = (1, 0, 0, 1).
    # F = (a.c, b.c) / 4 = (5, 1) / 4
    first = feature([[1, 2], [3, 4]], [[0, 1], [0, 1]])
    second = feature([[1, 0], [0, 1]])
    assert losses.fsp_matrix(first, second).tolist() == [[[1.25], [0.25]]]


def test_fsp_matrix_with_instance_norm_is_a_correlation():
    # a = (1, 2, 3, 4): mean 2.5, variance 1.25; c = (1, 0, 0, 1): mean 0.5, variance 0.25.
    # covariance = mean(a c) - 2.5 * 0.5 = 1.25 - 1.25 = 0; of a with itself: 1.25 / (1.25 + 1e-5)
    first, second = feature([[1, 2], [3, 4]]), feature([[1, 0], [0, 1]], [[1, 2], [3, 4]])
    result = losses.fsp_matrix(first, second, normalize="instance")
    expected = torch.tensor([[[0.0, 1.25 / (1.25 + 1e-5)]]], dtype=torch.float64)
    torch.testing.assert_close(result, expected)


def pyramids() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    student = [feature([[1, 2], [3, 0]]), feature([[2]]), feature([[3]])]
    teacher = [feature([[0, 1], [1, 4]]), feature([[1]]), feature([[2]])]
    return student, teacher


def test_dense_fsp_equation_6():
    # Max pooling to 1x1: student 3, 2, 3; teacher 4, 1, 2.
    # Pairs (1,2): 4 * 1 - 3 * 2 = -2 -> 4; (1,3): 4 * 2 - 3 * 3 = -1 -> 1; (2,3): 1 * 2 - 2 * 3 = -4 -> 16.
    student, teacher = pyramids()
    assert losses.dense_fsp_loss(student, teacher).item() == 21.0
    assert losses.dense_fsp_loss(student, teacher, reduction="none").tolist() == [21.0]


def test_sparse_fsp_keeps_neighbours_only():
    student, teacher = pyramids()
    assert losses.dense_fsp_loss(student, teacher, pairs="adjacent").item() == 4.0 + 16.0


def test_dense_fsp_divides_by_the_number_of_positions():
    # Two positions, no pooling. Student (1 * 2 + 3 * 4) / 2 = 7; teacher (1 + 1) / 2 = 1: (1 - 7)^2 = 36.
    student = [feature([[1, 3]]), feature([[2, 4]])]
    teacher = [feature([[1, 1]]), feature([[1, 1]])]
    assert losses.dense_fsp_loss(student, teacher).item() == 36.0


def test_density_maps_equation_7():
    # hard: (1 - 0)^2 + (2 - 2)^2 = 1; soft: (1 - 3)^2 + (2 - 1)^2 = 5.
    predicted, hard, soft = feature([[1, 2]]), feature([[0, 2]]), feature([[3, 1]])
    assert losses.density_map_loss(predicted, hard, soft).item() == 6.0
    assert losses.density_map_loss(predicted, hard, soft, hard_weight=2.0, soft_weight=0.5).item() == 4.5
    assert losses.density_map_loss(predicted, hard, None, soft_weight=0.0).item() == 1.0
    assert losses.density_map_loss(predicted, None, soft, hard_weight=0.0).item() == 5.0
    assert losses.density_map_loss(predicted, hard, soft, reduction="none").tolist() == [[[[5.0, 1.0]]]]


def test_reductions():
    student, teacher = torch.ones(2, 1, 1, 3), torch.zeros(2, 1, 1, 3)
    assert losses.l2_transfer_loss(student, teacher, reduction="sum").item() == 6.0
    assert losses.l2_transfer_loss(student, teacher, reduction="batchmean").item() == 3.0
    assert losses.l2_transfer_loss(student, teacher, reduction="none").tolist() == [[[1.0] * 3]] * 2


def test_the_objective_of_equation_8():
    # One channel everywhere; both embeddings set to h = 2 s. Student features 1 and 2 become 2 and 4, the
    # teacher's are -1 and 3. Intra: 1 - (-1) = 2 and 1 - 1 = 0. Inter: (-1 * 3 - 2 * 4)^2 = 121.
    # Maps: student 1, teacher 3, target 0: hard 1, soft 4. Total 0.5 * 2 + 0.5 * 121 + 1 * (1 + 4) = 66.5.
    transfer = losses.StructuredKnowledgeTransfer((1, 1), (1, 1)).double()
    for embedding in transfer.embeddings:
        torch.nn.init.constant_(embedding.weight, 2.0)
    student, teacher = [feature([[1]]), feature([[2]])], [feature([[-1]]), feature([[3]])]
    loss = transfer(student, teacher, feature([[1]]), feature([[3]]), feature([[0]]))
    assert [term.item() for term in loss] == [66.5, 2.0, 121.0, 1.0, 4.0]
