"""cosine_distance's kernels for GPUs, executed: values against float64, in every order, under every instrument."""

from itertools import product

import numpy as np
import pytest

from tests.emulation.cosine_reference import Features, formula, gradient
from tests.emulation.emulated import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

DRIVER = "cosine_distance"
EPS = 1e-8
MIXES = [
    (FLOAT64, FLOAT64),
    (FLOAT32, FLOAT32),
    (FLOAT32, FLOAT16),
    (FLOAT16, FLOAT32),
    (FLOAT16, FLOAT16),
    (BFLOAT16, BFLOAT16),
]
RUNS = [("plain", "forward", 0), ("plain", "reverse", 0), *(("plain", "random", seed) for seed in range(3))]
RUNS += [
    ("sanitized", "forward", 0),
    ("sanitized", "random", 1),
    ("race", "forward", 0),
    ("race", "random", 1),
]

every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: "-".join(map(str, run)))
every_mix = pytest.mark.parametrize("mix", MIXES, ids=lambda mix: f"{mix[0].name}-{mix[1].name}")
every_layout = pytest.mark.parametrize("by_channels", [False, True], ids=["by_pixels", "by_channels"])


def check_both_passes(driver, features, by_channels, packed, lanes=32):
    accumulator = features.accumulator
    common = (by_channels, packed, lanes, *features.arguments(by_channels), EPS)
    distance = np.full((features.batch, features.pixels), np.nan, accumulator)
    statistics = np.full((features.batch, 3, features.pixels), np.nan, accumulator)
    driver.forward(*common, distance, statistics)
    expected = formula(features.wide_student, features.wide_teacher, EPS)
    np.testing.assert_allclose(distance, expected, atol=features.tolerance)

    grad = np.random.default_rng(5).standard_normal(distance.shape).astype(accumulator)
    out = features.empty_gradient(by_channels)
    driver.backward(*common, grad, statistics, out)
    features.check_gradient(
        out, gradient(features.wide_student, features.wide_teacher, grad, EPS), by_channels
    )


@every_run
@every_mix
@every_layout
def test_small_and_odd(emulated, run, mix, by_channels):
    features = Features(*mix, batch=2, channels=11, pixels=37)
    check_both_passes(emulated(*run), features, by_channels, packed=False, lanes=16)


@every_run
@every_mix
@every_layout
def test_sixteen_bytes_at_a_time(emulated, run, mix, by_channels):
    features = Features(*mix, batch=2, channels=24, pixels=40)
    check_both_passes(emulated(*run), features, by_channels, packed=True, lanes=4)


@pytest.mark.parametrize(("channels", "pixels"), [(1, 1), (1, 33), (3, 257), (129, 5), (512, 6)])
@every_layout
def test_many_shapes(emulated, channels, pixels, by_channels):
    for order, lanes in product(("reverse", "random"), (1, 8, 32)):
        features = Features(FLOAT32, FLOAT32, batch=1, channels=channels, pixels=pixels)
        check_both_passes(emulated("plain", order), features, by_channels, packed=False, lanes=lanes)


@every_layout
def test_zero_vectors_and_clamped_norms(emulated, by_channels):
    features = Features(FLOAT32, FLOAT32, batch=1, channels=9, pixels=8)
    features.student[:, :, 2] = 0
    features.teacher[:, :, 3] = 0
    features.student[:, :, 4] *= 1e-10
    check_both_passes(emulated("plain"), features, by_channels, packed=False)


@every_layout
def test_every_feature_is_read_once_a_pass_and_sixteen_bytes_at_a_time(emulated, by_channels):
    """Bytes of global memory, counted: the least that either pass can move."""
    features = Features(FLOAT32, FLOAT32, batch=2, channels=32, pixels=128)
    driver = emulated("race")
    driver.driver.counts()
    check_both_passes(driver, features, by_channels, packed=True, lanes=8)
    counts = driver.driver.counts()
    elements, pixels = features.student.size, features.batch * features.pixels
    assert counts.loads_of_16_bytes == 2 * 2 * elements // 4
    assert counts.stores_of_16_bytes == elements // 4
    # The gradient, the distance, and three statistics.
    assert counts.stored_bytes == 4 * (elements + 4 * pixels)
