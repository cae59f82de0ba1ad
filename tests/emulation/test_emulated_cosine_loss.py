"""cosine_loss's and rescale_'s kernels for GPUs, executed: values against float64, in every order, every instrument."""

import numpy as np
import pytest

from tests.emulation.cosine_reference import Features, formula, gradient
from tests.emulation.emulated import ELEMENTS, FLOAT16, FLOAT32, FLOAT64
from tests.emulation.test_emulated_cosine_distance import every_layout, every_mix, every_run

DRIVER = "cosine_loss"
EPS = 1e-8


def check_loss(driver, features, by_channels, packed, lanes, held, scale=1.0, with_gradient=True):
    loss = np.full((), np.nan, features.accumulator)
    out = features.empty_gradient(by_channels) if with_gradient else None
    driver.loss(by_channels, packed, lanes, held, *features.arguments(by_channels), EPS, scale, loss, out)
    wide = features.wide_student, features.wide_teacher
    expected = formula(*wide, EPS)
    np.testing.assert_allclose(loss, expected.sum(), rtol=features.tolerance, atol=features.tolerance)
    if out is not None:
        features.check_gradient(out, gradient(*wide, np.full_like(expected, scale), EPS), by_channels)
    return loss, out


@every_run
@every_mix
@every_layout
def test_small_and_odd(emulated, run, mix, by_channels):
    """Some channels kept, some read again; the last tile sticks out."""
    features = Features(*mix, batch=2, channels=43, pixels=37)
    check_loss(emulated(*run), features, by_channels, packed=False, lanes=8, held=20, scale=-0.75)


@every_run
@every_mix
@every_layout
def test_sixteen_bytes_at_a_time(emulated, run, mix, by_channels):
    features = Features(*mix, batch=2, channels=48, pixels=48)
    check_loss(emulated(*run), features, by_channels, packed=True, lanes=2, held=48)


@every_layout
@pytest.mark.parametrize(
    ("channels", "pixels", "lanes", "held"),
    [(1, 1, 32, 1), (1, 65, 8, 0), (3, 257, 32, 3), (130, 5, 8, 130), (515, 6, 16, 64), (37, 40, 1, 20)],
)
def test_many_shapes(emulated, channels, pixels, lanes, held, by_channels):
    features = Features(FLOAT32, FLOAT32, batch=1, channels=channels, pixels=pixels)
    for order in ("reverse", "random"):
        check_loss(emulated("plain", order), features, by_channels, False, lanes, held)


@every_layout
def test_without_a_gradient_only_the_loss_is_written(emulated, by_channels):
    features = Features(FLOAT32, FLOAT16, batch=3, channels=9, pixels=20)
    check_loss(emulated("sanitized"), features, by_channels, False, 16, 0, with_gradient=False)


@every_layout
def test_zero_vectors_and_clamped_norms(emulated, by_channels):
    features = Features(FLOAT32, FLOAT32, batch=1, channels=9, pixels=8)
    features.student[:, :, 2] = 0
    features.teacher[:, :, 3] = 0
    features.student[:, :, 4] *= 1e-10
    _, out = check_loss(emulated("plain"), features, by_channels, False, 8, 9)
    of_zero = out[:, 2] if by_channels else out[:, :, 2]
    assert not of_zero.any()


@every_layout
def test_the_order_of_threads_does_not_change_a_bit(emulated, by_channels):
    features = Features(FLOAT32, FLOAT32, batch=2, channels=21, pixels=53)
    results = [
        check_loss(emulated("plain", order, seed), features, by_channels, False, 8, 16)
        for order, seed in (("forward", 0), ("reverse", 0), ("random", 1), ("random", 2))
    ]
    for loss, out in results[1:]:
        assert loss == results[0][0]
        assert np.array_equal(out, results[0][1])


@every_layout
def test_features_are_read_once_and_the_gradient_is_written_once(emulated, by_channels):
    """Bytes of global memory, counted: nothing beyond the least but one partial sum a block."""
    features = Features(FLOAT32, FLOAT32, batch=2, channels=32, pixels=128)
    driver = emulated("race")
    driver.driver.counts()
    check_loss(driver, features, by_channels, packed=True, lanes=8, held=32)
    counts = driver.driver.counts()
    elements = features.student.size
    blocks = 2 * 128 // 32
    assert counts.loads_of_16_bytes == 2 * elements // 4
    assert counts.stores_of_16_bytes == elements // 4
    assert counts.loaded_bytes == 4 * (2 * elements + blocks)
    assert counts.stored_bytes == 4 * (elements + blocks + 1)


@every_run
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda e: e.name)
@pytest.mark.parametrize("packed", [False, True])
def test_rescale(emulated, run, element, packed):
    accumulator = np.float64 if element is FLOAT64 else np.float32
    data = element.of(np.random.default_rng(0).standard_normal(1003))
    expected = element.wide(data) * (0.75 / 0.5)
    emulated(*run).rescale(element.code, packed, 2, data, data.size, np.array(0.75, accumulator), 0.5)
    np.testing.assert_allclose(element.wide(data), expected, rtol=2.0**-element.digits)


def test_rescale_by_one_touches_nothing(emulated):
    data = np.random.default_rng(0).standard_normal(1003).astype(np.float32)
    driver = emulated("race")
    driver.driver.counts()
    driver.rescale(FLOAT32.code, True, 2, data, data.size, np.array(0.5, np.float32), 0.5)
    counts = driver.driver.counts()
    assert (counts.stored_bytes, counts.loaded_bytes) == (0, 2 * 256 * 4)  # the factor, by every thread
