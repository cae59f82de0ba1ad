"""Each kind of mistake that a kernel can make is found, and by what."""

import numpy as np
import pytest

from tests.emulation.emulated import MODES, ORDERS, EmulationError

DRIVER = "injected_bugs"

BUGS = [  # as in the driver
    "none",
    "static_shared_overflow",
    "global_overflow",
    "missing_barrier",
    "missing_barrier_before_refill",
    "dynamic_shared_overflow",
    "wrong_wait",
    "lane_leaves_early",
    "divergent_barrier",
    "missing_warp_barrier",
    "blocks_share_an_element",
]
TILE, TILES, THREADS, BLOCKS = 16, 5, 128, 3

every_order = pytest.mark.parametrize("order", ORDERS)


def run_sum(driver, bug):
    x = np.random.default_rng(0).integers(-9, 9, BLOCKS * THREADS).astype(np.float32)
    sums = np.full(BLOCKS, np.nan, np.float32)
    driver.sum(x, sums, BLOCKS, BUGS.index(bug))
    return np.array_equal(sums, x.reshape(BLOCKS, THREADS).sum(1))


def run_sum_tiles(driver, bug):
    x = np.random.default_rng(0).integers(-9, 9, (TILES, TILE)).astype(np.float32)
    y = np.full_like(x, np.nan)
    driver.sum_tiles(x, y, TILES, BUGS.index(bug))
    return np.array_equal(y, np.broadcast_to(x.sum(1, keepdims=True), x.shape))


def run_reverse(driver, bug):
    x = np.arange(32, dtype=np.float32)
    y = np.full_like(x, np.nan)
    driver.reverse(x, y, BUGS.index(bug))
    return np.array_equal(y, x[::-1])


@pytest.mark.parametrize("mode", MODES)
@every_order
@pytest.mark.parametrize("kernel", [run_sum, run_sum_tiles, run_reverse])
def test_without_a_mistake_nothing_is_reported(emulated, mode, order, kernel):
    assert kernel(emulated(mode, order, seed=2), "none")


@every_order
@pytest.mark.parametrize(
    ("kernel", "bug", "mode", "report"),
    [
        (run_sum, "static_shared_overflow", "sanitized", r"index 4 out of bounds for type 'float \[4\]'"),
        (run_sum, "global_overflow", "sanitized", r"heap-buffer-overflow[\s\S]*sum\(float const\*"),
        (run_sum_tiles, "dynamic_shared_overflow", "sanitized", r"use-after-poison[\s\S]*copy_async"),
        (
            run_sum,
            "missing_barrier",
            "race",
            r"race on shared memory: .*injected_bugs.cpp:\d+.* no barrier between",
        ),
        (
            run_sum_tiles,
            "missing_barrier_before_refill",
            "race",
            r"race on shared memory: .*injected_bugs.cpp:\d+",
        ),
        (run_reverse, "missing_warp_barrier", "race", r"race on shared memory: .*injected_bugs.cpp:\d+"),
        (run_sum, "blocks_share_an_element", "race", r"race on global memory: .* of another block"),
        (run_sum, "lane_leaves_early", "plain", r"thread \(40, 0, 0\) of block \(\d, 0, 0\)"),
        (run_sum, "divergent_barrier", "plain", r"divergent barrier: .* has left the kernel"),
    ],
)
def test_a_mistake_is_reported_in_every_order(emulated, order, kernel, bug, mode, report):
    with pytest.raises(EmulationError, match=report):
        kernel(emulated(mode, order, seed=2), bug)


@pytest.mark.parametrize(
    ("kernel", "bug", "seen_in"),
    [
        (run_sum, "missing_barrier", {"forward", "random"}),
        (run_sum_tiles, "wrong_wait", {"reverse", "random"}),
        (run_reverse, "missing_warp_barrier", {"forward", "reverse", "random"}),
    ],
)
def test_values_alone_tell_a_mistake_in_some_orders(emulated, kernel, bug, seen_in):
    wrong = {order for order in ORDERS if not kernel(emulated("plain", order, seed=2), bug)}
    assert wrong == seen_in
