"""The loss of counts in squares against a sum written out."""

import torch

from skt_crowd.objectives.supervised import cell_count_loss


def test_squares_at_the_border_are_cut() -> None:
    predicted = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    target = torch.tensor([[[[0.0, 0.0, 4.0], [0.0, 0.0, 6.0], [8.0, 8.0, 0.0]]]])
    # squares of 2: |12|, |-1|, |-1|, |9|
    assert cell_count_loss(predicted, target, 2).item() == 23.0
    assert cell_count_loss(predicted, target, 1).item() == (predicted - target).abs().sum().item()
    assert cell_count_loss(predicted, target, 9).item() == 19.0


def test_mean_over_images_or_sum() -> None:
    predicted, target = torch.rand(3, 1, 4, 5), torch.rand(3, 1, 4, 5)
    singles = [cell_count_loss(predicted[i : i + 1], target[i : i + 1], 2) for i in range(3)]
    torch.testing.assert_close(cell_count_loss(predicted, target, 2), torch.stack(singles).mean())
    torch.testing.assert_close(
        cell_count_loss(predicted, target, 2, reduction="sum"), torch.stack(singles).sum()
    )


def test_gradient_is_the_sign_of_each_square() -> None:
    predicted = torch.zeros(1, 1, 2, 2, requires_grad=True)
    cell_count_loss(predicted, torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]), 2).backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[[[-1.0, -1.0], [-1.0, -1.0]]]]
