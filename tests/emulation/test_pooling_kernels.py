"""The CUDA kernels of max_pool_resize and pool_and_pack, run on the CPU, against float64."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.emulation.emulated import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Element

DRIVER = "pooling"
RUNS = [("plain", "forward", 0), ("plain", "reverse", 0), *(("plain", "random", seed) for seed in range(3))]
RUNS += [
    ("sanitized", "forward", 0),
    ("sanitized", "random", 1),
    ("race", "forward", 0),
    ("race", "random", 1),
]
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: "-".join(map(str, run)))
every_element = pytest.mark.parametrize(
    "element", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=lambda e: e.name
)
every_layout = pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels_last"])


@dataclass(frozen=True)
class Spec:
    """A feature and the window that its max-pool has."""

    element: Element
    channels_last: bool
    channels: int
    height: int
    width: int
    kernel_h: int
    kernel_w: int

    @property
    def row(self):
        sizes = (self.channels, self.height, self.width, self.kernel_h, self.kernel_w)
        return [self.element.code, int(self.channels_last), *sizes]

    @property
    def pooled_size(self):
        return -(-self.height // self.kernel_h), -(-self.width // self.kernel_w)

    def stored(self, values):
        """An (N, C, ., .) array as the kernel finds it in memory."""
        array = self.element.of(values)
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if self.channels_last else array

    def wide(self, stored):
        """The opposite, in float64."""
        array = self.element.wide(stored)
        return array.transpose(0, 3, 1, 2) if self.channels_last else array

    def values(self, batch, seed=0):
        # Few different numbers: equal maxima are common.
        random = np.random.default_rng(seed)
        return random.integers(-9, 10, (batch, self.channels, self.height, self.width)) / 4


def windows(spec, x, fill):
    """(N, C, h, w, kernel_h * kernel_w); what sticks out of the map is `fill`."""
    h, w = spec.pooled_size
    padding = [(0, 0), (0, 0), (0, h * spec.kernel_h - spec.height), (0, w * spec.kernel_w - spec.width)]
    x = np.pad(x, padding, constant_values=fill)
    x = x.reshape(*x.shape[:2], h, spec.kernel_h, w, spec.kernel_w).swapaxes(3, 4)
    return x.reshape(*x.shape[:4], -1)


def max_pool(spec, x):
    """Maximum and winner's offset: the first of equal maxima, the last of NaNs."""
    all_of_them = windows(spec, x, -np.inf)
    nan = np.isnan(all_of_them)
    last_nan = nan.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
    winner = np.where(nan.any(-1), last_nan, np.where(nan, -np.inf, all_of_them).argmax(-1))
    return np.take_along_axis(all_of_them, winner[..., None], -1)[..., 0], winner


def scattered(spec, grad, winner):
    """Gradient of the max-pool: grad (N, C, h, w) -> (N, C, H, W)."""
    h, w = spec.pooled_size
    out = (np.arange(spec.kernel_h * spec.kernel_w) == winner[..., None]) * grad[..., None]
    out = out.reshape(*grad.shape, spec.kernel_h, spec.kernel_w).swapaxes(3, 4)
    out = out.reshape(*grad.shape[:2], h * spec.kernel_h, w * spec.kernel_w)
    return out[:, :, : spec.height, : spec.width]


# One feature: max_pool_resize


def check_one(kernel, spec, batch, values=None):
    x = spec.stored(spec.values(batch) if values is None else values)
    accumulates_double = int(spec.element is FLOAT64)
    pooled = spec.stored(np.full((batch, spec.channels, *spec.pooled_size), np.nan))
    large = spec.kernel_h * spec.kernel_w > 256
    offsets = Element("offset", 0, np.int32 if large else np.uint8, 0)
    layout = Spec(offsets, *spec.row[1:])
    winner = layout.stored(np.full((batch, spec.channels, *spec.pooled_size), 255))
    common = np.array(spec.row), batch, accumulates_double
    if large:
        kernel.large_windows(x, *common, pooled, winner, winner.size)
    else:
        kernel.max_pool_resize(x, *common, pooled, winner)
    expected, expected_winner = max_pool(spec, spec.wide(x))
    np.testing.assert_array_equal(spec.wide(pooled), expected)
    np.testing.assert_array_equal(layout.wide(winner), expected_winner)

    grad = spec.stored(np.random.default_rng(3).integers(1, 99, expected.shape) / 8)
    out = spec.stored(np.full((batch, spec.channels, spec.height, spec.width), np.nan))
    if large:
        kernel.large_windows_backward(out, *common, grad, winner, out.size)
    else:
        kernel.max_pool_resize_backward(out, *common, grad, winner)
    np.testing.assert_array_equal(spec.wide(out), scattered(spec, spec.wide(grad), expected_winner))


@every_run
@every_element
@every_layout
def test_odd_sizes_with_windows_that_stick_out(emulated, run, element, channels_last):
    check_one(emulated(*run), Spec(element, channels_last, 3, 11, 13, 4, 3), 2)


@every_run
@every_element
@every_layout
def test_sixteen_bytes_at_a_time(emulated, run, element, channels_last):
    check_one(emulated(*run), Spec(element, channels_last, 8, 7, 24, 2, 4), 2)


@pytest.mark.parametrize(
    ("channels", "height", "width", "kernel_h", "kernel_w"),
    [
        (1, 1, 1, 1, 1),
        (5, 1, 1, 3, 7),  # a window larger than the map
        (1, 70, 60, 1, 1),  # several tiles one above the other
        (2, 3, 4112, 2, 2),  # and side by side
        (130, 5, 36, 1, 1),  # several tiles of channels
        (72, 9, 48, 2, 1),
        (2, 17, 50, 16, 16),  # offsets up to 255
        (1, 257, 3, 256, 1),
    ],
)
@pytest.mark.parametrize("element", [FLOAT32, FLOAT16], ids=lambda e: e.name)
@every_layout
def test_shapes(emulated, element, channels_last, channels, height, width, kernel_h, kernel_w):
    spec = Spec(element, channels_last, channels, height, width, kernel_h, kernel_w)
    check_one(emulated("plain", "random"), spec, 1)
    check_one(emulated("sanitized"), spec, 1)


@every_run
@every_element
@every_layout
def test_windows_of_more_than_256_pixels(emulated, run, element, channels_last):
    check_one(emulated(*run), Spec(element, channels_last, 3, 40, 19, 33, 9), 1)
    check_one(emulated(*run), Spec(element, channels_last, 1, 3, 300, 2, 150), 2)


@every_element
@every_layout
@pytest.mark.parametrize("kernel", [(2, 4), (20, 16)])
def test_nan_wins_and_the_last_of_them(emulated, element, channels_last, kernel):
    spec = Spec(element, channels_last, 8, 20, 32, *kernel)
    values = spec.values(2)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    values[:, 1] = -np.inf
    check_one(emulated("plain", "random"), spec, 2, values)


# Several features: pool_and_pack

ONE_OF_EACH = (  # all of them to (5, 3)
    Spec(FLOAT32, False, 2, 17, 12, 4, 4),
    Spec(FLOAT16, True, 8, 10, 5, 2, 2),
    Spec(BFLOAT16, False, 3, 5, 8, 1, 3),
    Spec(FLOAT32, True, 1, 5, 3, 1, 1),
)


def four(arrays):
    """As many pointers as the driver takes."""
    return [*arrays, *[None] * (4 - len(arrays))]


def check_packed(kernel, specs, batch, normalize, with_argmax=True):
    accumulator = np.float64 if any(spec.element is FLOAT64 for spec in specs) else np.float32
    maps = [spec.stored(spec.values(batch, seed)) for seed, spec in enumerate(specs)]
    positions, channels = int(np.prod(specs[0].pooled_size)), sum(spec.channels for spec in specs)
    packed = np.full((batch, channels, positions), np.nan, accumulator)
    winner = np.full(packed.shape, 255, np.uint8)
    inverse = np.full((batch, channels), np.nan, accumulator)
    common = np.array([spec.row for spec in specs]), len(specs), batch, int(accumulator is np.float64)
    sizes = batch * channels, positions
    wanted = winner if with_argmax else None, inverse if normalize else None
    kernel.pool_and_pack(*four(maps), *common, packed, *wanted, *sizes)

    pooled = [max_pool(spec, spec.wide(x)) for spec, x in zip(specs, maps, strict=True)]
    expected, expected_winner = (
        np.concatenate([p[i].reshape(batch, -1, positions) for p in pooled], 1) for i in (0, 1)
    )
    unit = np.finfo(accumulator).eps
    if normalize:
        deviation = np.sqrt(expected.var(2) + 1e-5)
        np.testing.assert_allclose(inverse, 1 / deviation, rtol=20 * unit)
        expected = (expected - expected.mean(2, keepdims=True)) / deviation[:, :, None]
    np.testing.assert_allclose(
        packed, expected, atol=40 * unit * max(1, np.abs(expected).max()) if normalize else 0
    )
    if not with_argmax:
        return
    np.testing.assert_array_equal(winner, expected_winner)

    grad = np.random.default_rng(9).standard_normal(packed.shape).astype(accumulator)
    gradients = [
        spec.stored(np.full(spec.wide(x).shape, np.nan)) for spec, x in zip(specs, maps, strict=True)
    ]
    kernel.pool_and_pack_backward(*four(gradients), *common, grad, packed, *wanted, *sizes)
    before = grad.astype(np.float64)
    if normalize:
        along = (before * expected).mean(2, keepdims=True)
        before = (before - before.mean(2, keepdims=True) - expected * along) / deviation[:, :, None]
    first = 0
    for spec, gradient in zip(specs, gradients, strict=True):
        mine = slice(first, first + spec.channels)
        shape = batch, spec.channels, *spec.pooled_size
        exact = scattered(spec, before[:, mine].reshape(shape), expected_winner[:, mine].reshape(shape))
        np.testing.assert_allclose(
            spec.wide(gradient), exact, rtol=2.0**-spec.element.digits, atol=60 * unit * np.abs(before).max()
        )
        first += spec.channels


@every_run
@pytest.mark.parametrize("normalize", [False, True])
def test_features_of_all_types_layouts_and_windows_in_one_launch(emulated, run, normalize):
    check_packed(emulated(*run), ONE_OF_EACH, 2, normalize)


@pytest.mark.parametrize("run", [("plain", "random", 4), ("sanitized", "random", 4)], ids=lambda run: run[0])
@pytest.mark.parametrize("normalize", [False, True])
def test_one_double_among_them_computes_in_double(emulated, run, normalize):
    check_packed(emulated(*run), (Spec(FLOAT64, False, 2, 10, 5, 2, 2), *ONE_OF_EACH[2:]), 1, normalize)


@pytest.mark.parametrize("normalize", [False, True])
def test_rows_read_16_bytes_at_a_time_and_longer_than_a_block(emulated, normalize):
    specs = [Spec(FLOAT32, False, 2, 66, 80, 2, 2), Spec(FLOAT16, True, 8, 33, 40, 1, 1)]
    check_packed(emulated("plain", "random"), specs, 1, normalize)
    check_packed(emulated("sanitized"), specs, 1, normalize)


def test_the_teacher_keeps_no_winners(emulated):
    check_packed(emulated("sanitized", "random"), ONE_OF_EACH, 2, True, with_argmax=False)


def test_normalisation_keeps_float32_accuracy_far_from_zero(emulated):
    spec = Spec(FLOAT32, False, 1, 32, 33, 1, 1)
    x = spec.stored(1000 + np.random.default_rng(0).standard_normal((1, 1, 32, 33)))
    packed, inverse = np.zeros((1, 1, 32 * 33), np.float32), np.zeros((1, 1), np.float32)
    kernel, row = emulated("plain"), np.array(spec.row)
    kernel.pool_and_pack(*four([x]), row, 1, 1, 0, packed, None, inverse, 1, 32 * 33)
    wide = x.astype(np.float64).ravel()
    # The mean itself is known to half a unit of 1000 only: 3e-5.
    np.testing.assert_allclose(packed.ravel(), (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5), atol=1e-4)


def test_as_the_reference_defines_it(emulated):
    torch = pytest.importorskip("torch")
    from skt_ext import reference

    specs = [Spec(FLOAT64, False, 2, 9, 7, 2, 2), Spec(FLOAT64, True, 3, 5, 4, 1, 1)]
    maps = [spec.stored(spec.values(2)) for spec in specs]
    tensors = [
        torch.from_numpy(np.ascontiguousarray(spec.wide(x))) for spec, x in zip(specs, maps, strict=True)
    ]
    kernels = [2, 2, 1, 1]
    packed, winner, inverse = np.zeros((2, 5, 20)), np.zeros((2, 5, 20), np.uint8), np.zeros((2, 5))
    rows = np.array([spec.row for spec in specs])
    emulated("plain").pool_and_pack(*four(maps), rows, 2, 2, 1, packed, winner, inverse, 10, 20)
    expected = reference.pool_and_pack(tensors, kernels, True, True)
    np.testing.assert_allclose(packed, expected[0], atol=1e-12)
    np.testing.assert_array_equal(winner, expected[1])
    np.testing.assert_allclose(inverse, expected[2], rtol=1e-12)

    grad = np.random.default_rng(1).standard_normal(packed.shape)
    gradients = [np.full_like(x, np.nan) for x in maps]
    emulated("plain").pool_and_pack_backward(
        *gradients, None, None, rows, 2, 2, 1, grad, packed, winner, inverse, 10, 20
    )
    expected = reference.pool_and_pack_backward(torch.from_numpy(grad), *expected, tensors, kernels)
    for spec, gradient, exact in zip(specs, gradients, expected, strict=True):
        np.testing.assert_allclose(spec.wide(gradient), exact, atol=1e-12)
