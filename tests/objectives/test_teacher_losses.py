"""Losses of the teachers: their plain definitions, gradients in float64, a batch against its singles."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skt_crowd.errors import UsageError
from skt_crowd.objectives.bayesian import bayesian_loss
from skt_crowd.objectives.structural import dilated_multiscale_ssim_loss, local_pattern_consistency_loss

CROWDS = (
    torch.tensor([[3.0, 5.0, 1.0], [20.5, 9.0, 0.4], [20.5, 9.0, 1.0]]),  # two at the same place
    torch.zeros(0, 3),
    torch.tensor([[-2.0, 30.0, 0.6]]),  # beside the crop
)
SIDES = (64.0, 100.0, 31.0)


def maps(dtype: torch.dtype = torch.float64) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(3, 1, 4, 5, dtype=dtype)


def slowly(
    density: Tensor, points: Tensor, side: float, stride: int, sigma: float, ratio: float | None
) -> float:
    """One map, one cell and one point at a time."""
    if len(points) == 0:
        return abs(float(density.sum()))
    expected = [0.0] * (len(points) + 1)
    for row in range(density.shape[0]):
        for column in range(density.shape[1]):
            cx, cy = stride * (column + 0.5), stride * (row + 0.5)
            squares = [(float(x) - cx) ** 2 + (float(y) - cy) ** 2 for x, y, _ in points]
            likelihoods = [math.exp(-d / (2 * sigma**2)) for d in squares]
            if ratio is not None:
                likelihoods.append(math.exp(-((ratio * side) ** 2) / (min(squares) + 1e-5) / (2 * sigma**2)))
            for n, likelihood in enumerate(likelihoods):
                expected[n] += likelihood / sum(likelihoods) * float(density[row, column])
    present = [*(float(t) for t in points[:, 2]), 0.0]
    return sum(abs(t - e) for t, e in zip(present, expected, strict=True))


@pytest.mark.parametrize("ratio", [1.0, 0.15, None])
def test_bayesian_loss_is_its_definition(ratio: float | None) -> None:
    density = maps()
    crowds = [crowd.double() for crowd in CROWDS]
    loss = bayesian_loss(density, crowds, SIDES, stride=8, sigma=8.0, background_ratio=ratio, reduction="sum")
    singles = [slowly(density[i, 0], crowds[i], SIDES[i], 8, 8.0, ratio) for i in range(3)]
    assert loss.item() == pytest.approx(sum(singles), rel=1e-10)
    mean = bayesian_loss(density, crowds, SIDES, stride=8, sigma=8.0, background_ratio=ratio)
    assert mean.item() == pytest.approx(sum(singles) / 3, rel=1e-10)


def test_a_map_with_everybody_in_place_costs_nothing() -> None:
    """Points so far apart that each cell belongs to one of them; without background everything is somebody's."""
    density = torch.zeros(1, 1, 40, 40)
    density[0, 0, 2, 2] = 1.0
    density[0, 0, 37, 37] = 1.0
    points = torch.tensor([[20.0, 20.0, 1.0], [300.0, 300.0, 1.0]])
    assert bayesian_loss(density, [points], [320], stride=8, background_ratio=None).item() < 1e-6
    assert bayesian_loss(
        2 * density, [points], [320], stride=8, background_ratio=None
    ).item() == pytest.approx(2.0)


def test_people_far_from_every_point_are_background() -> None:
    density = torch.zeros(1, 1, 40, 40)
    density[0, 0, 38, 38] = 5.0
    points = torch.tensor([[20.0, 20.0, 1.0]])
    assert bayesian_loss(density, [points], [100], stride=8).item() == pytest.approx(6.0, abs=1e-3)


LOSSES = {
    "bayesian": lambda m: bayesian_loss(
        m, [crowd.to(m.dtype) for crowd in CROWDS[: len(m)]], SIDES[: len(m)], stride=8
    ),
    "dms_ssim": lambda m: dilated_multiscale_ssim_loss(m, _target(m)),
    "mse_lpc": lambda m: local_pattern_consistency_loss(m, _target(m), weight=0.3),
}


def _target(like: Tensor) -> Tensor:
    """A different crowd for each image, the last one empty; no value of it is near the maps'."""
    torch.manual_seed(1)
    target = 3 * torch.rand(3, *like.shape[1:], dtype=like.dtype)
    target[2] = 0
    return target[: len(like)]


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name], maps().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_maps_are_compared_in_float32(name: str) -> None:
    loss = LOSSES[name](maps(torch.bfloat16).float())
    rough = LOSSES[name](maps(torch.bfloat16))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, loss, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("loss", [dilated_multiscale_ssim_loss, local_pattern_consistency_loss])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
def test_a_batch_is_its_singles(loss, size: tuple[int, int]) -> None:
    predicted = torch.rand(3, 1, *size, dtype=torch.float64)
    target = _target(predicted)
    singles = [loss(predicted[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(predicted, target, reduction="sum"), torch.stack(singles).sum())
    torch.testing.assert_close(loss(predicted, target), torch.stack(singles).mean())
    assert loss(target, target).item() == pytest.approx(0.0, abs=1e-12)


def test_a_batch_of_crowds_is_its_singles() -> None:
    density = maps()
    singles = [
        bayesian_loss(density[i : i + 1], CROWDS[i : i + 1], SIDES[i : i + 1], stride=8) for i in range(3)
    ]
    whole = bayesian_loss(density, CROWDS, SIDES, stride=8, reduction="sum")
    torch.testing.assert_close(whole, torch.stack(singles).sum(), rtol=0, atol=1e-14)


def test_dms_ssim_is_its_definition() -> None:
    """Level by level, window by window, on maps padded by hand."""
    torch.manual_seed(0)
    predicted, target = torch.rand(2, 1, 1, 30, 21, dtype=torch.float64)
    bell = torch.exp(-(torch.arange(-2.0, 3.0, dtype=torch.float64) ** 2) / 2)
    window = torch.outer(bell, bell) / torch.outer(bell, bell).sum()
    x, y = 255 * predicted[0, 0] / target.max(), 255 * target[0, 0] / target.max()
    product = 1.0
    for weight, apart in zip((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), (1, 2, 3, 6, 9), strict=True):
        wide = [F.pad(m, [2 * apart] * 4) for m in (x, y)]
        values = []
        for row in range(x.shape[0]):
            for column in range(x.shape[1]):
                a, b = (
                    m[row : row + 4 * apart + 1 : apart, column : column + 4 * apart + 1 : apart]
                    for m in wide
                )
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                c1, c2 = 2.55**2, 7.65**2
                values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
        product *= torch.stack(values).mean().clamp(min=1e-4).item() ** weight
        x, y = (F.avg_pool2d(m[None, None], 2, ceil_mode=True)[0, 0] for m in (x, y))
    assert dilated_multiscale_ssim_loss(predicted, target).item() == pytest.approx(1 - product, rel=1e-9)


def test_local_patterns_add_to_the_squared_error() -> None:
    torch.manual_seed(0)
    predicted, target = torch.rand(2, 1, 1, 20, 20, dtype=torch.float64)
    squared = (predicted - target).square().mean()
    without = local_pattern_consistency_loss(predicted, target, weight=0.0)
    torch.testing.assert_close(without, squared)
    pattern = local_pattern_consistency_loss(predicted, target, weight=1.0) - squared
    assert 0.3 < pattern.item() < 1.2  # noise is nothing like other noise
    assert local_pattern_consistency_loss(target + 0.5, target, weight=1.0) - 0.25 < pattern


def test_messages() -> None:
    with pytest.raises(UsageError, match=r"predicted: expected \(N, 1, h, w\), got \(2, 2\)"):
        bayesian_loss(torch.ones(2, 2), [], [], stride=8)
    with pytest.raises(
        UsageError, match="points and shorter_sides: expected one for each of 3 maps, got 1 and 3"
    ):
        bayesian_loss(maps(), CROWDS[:1], SIDES, stride=8)
    with pytest.raises(
        UsageError, match=r"predicted and target: expected two \(N, 1, H, W\), got \(1, 1, 2, 2\) and"
    ):
        dilated_multiscale_ssim_loss(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 3))
