"""The CUDA kernels of dense_fsp_distance, run on the CPU, against float64."""

import itertools

import numpy as np
import pytest

from tests.emulation.emulated import ORDERS

DRIVER = "dense_fsp"

PRECISIONS = {"float64": 0, "float32": 1, "tf32": 2, "bfloat16": 3, "float16": 4}
# Half a unit in the last place of a rounded operand; the sums are exact in comparison.
ROUNDING = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "bfloat16": 2.0**-9,
    "float16": 2.0**-11,
}
FULL = {"float64": 2.0**-53}  # of what is added up and stored; float32 elsewhere


def compared(channels, adjacent):
    """(C, C) bool: the pairs of channels that are compared."""
    feature = np.repeat(np.arange(len(channels)), channels)
    apart = np.abs(feature[:, None] - feature[None, :])
    return apart == 1 if adjacent else apart > 0


def rounded(x, precision):
    """As the kernel rounds an operand."""
    if precision == "bfloat16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    if precision == "tf32":
        return ((x.view(np.uint32) + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)
    return x.astype(np.float16) if precision == "float16" else x


def features(precision, batch, channels, positions, seed=0):
    dtype = np.float64 if precision == "float64" else np.float32
    return np.random.default_rng(seed).standard_normal((batch, sum(channels), positions)).astype(dtype)


def run_forward(kernel, precision, student, teacher, channels, adjacent, parts, wide=None):
    batch, total, positions = student.shape
    wide = positions * student.itemsize % 16 == 0 if wide is None else wide
    distance = np.full(batch, np.nan, student.dtype)
    difference = np.zeros((batch, total, total), student.dtype)
    kernel.forward(PRECISIONS[precision], student, teacher, np.array(channels), len(channels), int(adjacent), batch,
                   positions, parts, int(wide), distance, difference)  # fmt: skip
    return distance, difference


def check_forward(kernel, precision, batch, channels, positions, adjacent=False, parts=1, wide=None):
    student = features(precision, batch, channels, positions)
    teacher = features(precision, batch, channels, positions, seed=1)
    distance, difference = run_forward(kernel, precision, student, teacher, channels, adjacent, parts, wide)

    s, t = (rounded(x, precision).astype(np.float64) for x in (student, teacher))
    expected = np.where(compared(channels, adjacent), t @ t.mT - s @ s.mT, 0) / positions
    magnitude = (np.abs(t) @ np.abs(t).mT + np.abs(s) @ np.abs(s).mT) / positions
    bound = FULL.get(precision, 2.0**-24) * (2 * positions + 4) * magnitude
    assert (np.abs(difference - expected) <= bound).all()
    np.testing.assert_array_equal(difference, difference.mT)
    np.testing.assert_array_equal(difference[:, ~compared(channels, adjacent)], 0)
    exact = np.square(difference.astype(np.float64)).sum((1, 2)) / 2
    np.testing.assert_allclose(distance, exact, rtol=4 * FULL.get(precision, 2.0**-24))


def run_backward(kernel, precision, grad, student, difference, channels, adjacent, wide=None):
    batch, _, positions = student.shape
    whole = 16 // student.itemsize
    wide_positions = positions % whole == 0 if wide is None else wide
    wide_difference = (
        all(end % whole == 0 for end in itertools.accumulate(channels)) if wide is None else wide
    )
    out = np.full_like(student, np.nan)
    kernel.backward(PRECISIONS[precision], grad, student, difference, np.array(channels), len(channels), int(adjacent),
                    batch, positions, int(wide_difference), int(wide_positions), out)  # fmt: skip
    return out


def check_backward(kernel, precision, batch, channels, positions, adjacent=False, wide=None):
    student = features(precision, batch, channels, positions)
    half = features(precision, batch, channels, sum(channels), seed=2)
    difference = np.where(compared(channels, adjacent), half + half.mT, 0).astype(student.dtype)
    grad = np.linspace(0.5, -2, batch).astype(student.dtype)
    out = run_backward(kernel, precision, grad, student, difference, channels, adjacent, wide)

    d, s = (rounded(x, precision).astype(np.float64) for x in (difference, student))
    scale = (-2 / positions * grad.astype(np.float64))[:, None, None]
    bound = FULL.get(precision, 2.0**-24) * (sum(channels) + 6) * np.abs(scale) * (np.abs(d) @ np.abs(s))
    assert (np.abs(out - scale * (d @ s)) <= bound + 1e-300).all()


every_precision = pytest.mark.parametrize("precision", PRECISIONS)


@every_precision
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("channels", "positions", "parts"), [([1, 1], 1, 1), ([5, 1, 9], 33, 3), ([7, 70, 60], 16, 2)]
)
def test_forward_in_every_order(emulated, precision, order, channels, positions, parts):
    check_forward(emulated("plain", order, seed=1), precision, 2, channels, positions, parts=parts)


@every_precision
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("channels", "positions"), [([1, 1], 1), ([5, 1, 9], 33), ([8, 72, 60], 20)])
def test_backward_in_every_order(emulated, precision, order, channels, positions):
    check_backward(emulated("plain", order, seed=1), precision, 2, channels, positions)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_random_orders(emulated, precision, seed):
    check_forward(emulated("plain", "random", seed), precision, 1, [3, 130], 37, parts=4)
    check_backward(emulated("plain", "random", seed), precision, 1, [3, 130], 37)


@every_precision
@pytest.mark.parametrize("channels", [[3, 4, 1, 6], [128, 40, 100], [64], [16, 129, 1]])
def test_adjacent_features_only(emulated, precision, channels):
    if len(channels) > 1:  # the host does not launch where nothing is compared
        check_forward(emulated("plain"), precision, 1, channels, 12, adjacent=True)
    check_backward(emulated("plain"), precision, 1, channels, 12, adjacent=True)


@every_precision
@pytest.mark.parametrize("wide", [False, True])
def test_copies_of_16_bytes_and_of_single_elements(emulated, precision, wide):
    check_forward(emulated("plain"), precision, 2, [8, 4], 24, wide=wide)
    check_backward(emulated("plain"), precision, 2, [8, 4], 24, wide=wide)


@every_precision
def test_under_address_and_undefined_behaviour_sanitizers(emulated, precision):
    kernel = emulated("sanitized", "random", seed=2)
    check_forward(kernel, precision, 2, [4, 1, 130], 17, parts=2)
    check_forward(kernel, precision, 1, [4, 8], 20, adjacent=True)
    check_backward(kernel, precision, 2, [4, 1, 130], 17)
    check_backward(kernel, precision, 1, [4, 8], 20, adjacent=True)


@every_precision
@pytest.mark.parametrize("order", ["forward", "random"])
def test_without_races(emulated, precision, order):
    # Five stages through three buffers: every buffer is used again.
    check_forward(emulated("race", order), precision, 1, [2, 1], 33, parts=1)
    check_backward(emulated("race", order), precision, 1, [40, 40], 5)


def test_as_the_reference_defines_it(emulated):
    torch = pytest.importorskip("torch")
    from skt_ext import reference

    student, teacher = (features("float64", 2, [3, 1, 2], 7, seed) for seed in (0, 1))
    for adjacent in (False, True):
        options = [3, 1, 2], adjacent, "float32"
        distance, difference = run_forward(emulated("plain"), "float64", student, teacher, *options[:2], 1)
        s, t = torch.from_numpy(student), torch.from_numpy(teacher)
        expected = reference.dense_fsp_distance(s, t, *options)
        np.testing.assert_allclose(distance, expected[0], rtol=1e-12)
        np.testing.assert_allclose(difference, expected[1], atol=1e-13)
        grad = np.array([1.0, -3.0])
        gradient = run_backward(emulated("plain"), "float64", grad, student, difference, *options[:2])
        expected = reference.dense_fsp_distance_backward(
            torch.from_numpy(grad), s, torch.from_numpy(difference), *options
        )
        np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_what_is_not_finite_stays_so(emulated):
    student, teacher = (features("float32", 1, [2, 2], 5, seed) for seed in (0, 1))
    student[0, 1, 3] = np.nan
    distance, difference = run_forward(emulated("plain"), "bfloat16", student, teacher, [2, 2], False, 1)
    assert np.isnan(distance).all()
    assert np.isnan(difference[0, 1, 2:]).all()
    assert np.isfinite(difference[0, 0]).all()


@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("channels", [[64, 64, 128, 256, 512, 256, 1], [1] * 9, [200, 3, 5, 300], [130, 130]])
@pytest.mark.parametrize("tile", [64, 128])
def test_tiles_are_those_that_hold_a_compared_pair_above_the_diagonal(emulated, channels, adjacent, tile):
    wanted = np.triu(compared(channels, adjacent))
    starts = range(0, sum(channels), tile)
    expected = [(r, c) for r in starts for c in starts if wanted[r : r + tile, c : c + tile].any()]
    found, count = np.zeros((500, 2), np.int64), np.zeros(1, np.int64)
    emulated("plain").tiles(np.array(channels), len(channels), int(adjacent), tile, 500, found, count)
    assert [tuple(map(int, one)) for one in found[: count[0]]] == expected


@pytest.mark.parametrize("blocks", [1, 7, 49, 59, 300, 5000])
@pytest.mark.parametrize("stages", [2, 32, 974, 11558])
def test_parts_fill_a_gpu_and_stay_long_enough(emulated, blocks, stages):
    slots, count = 2 * 132, np.zeros(1, np.int64)
    emulated("plain").parts(blocks, stages, slots, count)
    parts = int(count[0])
    assert parts == 1 or stages / parts >= 10
    if blocks < slots / 2 and stages >= 640:
        assert blocks * parts > slots / 2 or parts > 48
    if blocks > 10 * slots:
        assert parts <= 2
