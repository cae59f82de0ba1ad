"""Timings: quantiles, turns, stages, and the memory of a call."""

import sys
import time

import pytest
import torch

from skt_crowd.efficiency import Timing, peak_memory_mib, time_alternately, time_stages_alternately


def test_quantiles_by_hand() -> None:
    timing = Timing((5.0, 1.0, 3.0, 2.0, 4.0), peak_mib=0.0)
    assert timing.median == 3.0
    assert timing.quantile(0.1) == 1.0
    assert timing.quantile(0.9) == 5.0


def test_candidates_take_turns_and_the_warm_up_is_not_recorded() -> None:
    calls = []
    timings = time_alternately({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls[:8] == ["a", "b"] * 4
    assert len(timings["a"].seconds) == 3


def test_stages_separate_forward_from_backward() -> None:
    leaf = torch.ones((), requires_grad=True)

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, value: torch.Tensor) -> torch.Tensor:
            return value * 2

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
            time.sleep(0.02)
            return grad * 2

    def forget() -> None:
        leaf.grad = None

    stages = time_stages_alternately(
        {"slow": lambda: Slow.apply(leaf)}, forget, device=torch.device("cpu"), rounds=2
    )["slow"]
    assert stages.backward.median > 0.02 > stages.forward.median
    assert stages.both.median == pytest.approx(stages.forward.median + stages.backward.median, rel=0.2)
    assert leaf.grad is None


@pytest.mark.skipif(sys.platform != "linux", reason="the resident memory is read from /proc")
def test_the_peak_is_seen_although_the_memory_is_given_back() -> None:
    def call() -> None:
        torch.ones(64 * 2**18)  # 64 MiB, touched and dropped

    assert 60 < peak_memory_mib(call) < 100
    assert peak_memory_mib(lambda: None) < 8
