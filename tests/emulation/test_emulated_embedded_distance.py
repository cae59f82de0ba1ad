"""embedded_distance on the emulated GPU against its equations in float64: forward and backward, every path."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.emulation import embedding_reference as reference
from tests.emulation.emulated import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    MODES,
    ORDERS,
    Element,
    EmulationError,
)

DRIVER = "embedded_distance"
EPS = 1e-8


@dataclass(frozen=True)
class Case:
    student_channels: int = 5
    teacher_channels: int = 9
    height: int = 6
    width: int = 7
    kernel: tuple[int, int] = (2, 2)  # (0, 0): nothing is pooled
    batch: int = 1
    compares: bool = True
    relu: bool = True
    bias: bool = True
    elements: tuple[Element, Element, Element, Element] = (FLOAT32,) * 4  # of student, weight, bias, teacher
    student_last: bool = False  # channels_last
    teacher_last: bool = False
    scalar: bool = False  # accesses of one element where wider ones are possible
    most_blocks: int = 1000  # of the backward pass

    @property
    def accumulator(self):
        return np.float64 if self.elements[0] is FLOAT64 else np.float32

    @property
    def tolerance(self):
        return 1e-12 if self.elements[0] is FLOAT64 else 2e-5


def laid_out(values, element, last):
    """(N, C, H, W) in memory as `element`, with the strides (image, channel, pixel)."""
    channels, pixels = values.shape[1], values.shape[2] * values.shape[3]
    memory = element.of(np.ascontiguousarray(values.transpose(0, 2, 3, 1) if last else values))
    return memory, ([channels * pixels, 1, channels] if last else [channels * pixels, pixels, 1])


def back(memory, element, last):
    values = element.wide(memory)
    return values.transpose(0, 3, 1, 2) if last else values


class Run:
    """Inputs of a case, and what the kernels make of them."""

    def __init__(self, case, seed=0, student=None):
        self.case = case
        rng = np.random.default_rng(seed)
        n, cs, ct, h, w = case.batch, case.student_channels, case.teacher_channels, case.height, case.width
        student = rng.standard_normal((n, cs, h, w)) if student is None else student
        of_student, of_weight, of_bias, of_teacher = case.elements
        self.student, student_strides = laid_out(student, of_student, case.student_last)
        self.weight = of_weight.of(rng.standard_normal((ct, cs)))
        self.bias = of_bias.of(rng.standard_normal(ct)) if case.bias else None
        self.teacher, teacher_strides = laid_out(
            rng.standard_normal((n, ct, h, w)), of_teacher, case.teacher_last
        )
        if not case.compares:
            self.teacher = None
        self.sizes = np.array([n, cs, ct, h, w, *case.kernel])
        self.codes = np.array([element.code for element in case.elements])
        self.strides = np.array([*student_strides, 0, 1, cs, *teacher_strides, *student_strides])
        # What the kernels see, in float64.
        self.wide = (
            back(self.student, of_student, case.student_last),
            of_weight.wide(self.weight),
            None if self.bias is None else of_bias.wide(self.bias),
            None if self.teacher is None else back(self.teacher, of_teacher, case.teacher_last),
        )

    def forward(self, driver):
        case = self.case
        n, _, ct, h, w = self.sizes[:5]
        self.loss = np.zeros((), case.accumulator)
        self.statistics = np.full((n, 3, h, w), np.nan, case.accumulator) if case.compares else None
        self.pooled = self.argmax = None
        if case.kernel != (0, 0):
            shape = (n, ct, -(-h // case.kernel[0]), -(-w // case.kernel[1]))
            self.pooled = np.full(shape, np.nan, case.accumulator)
            # Nobody writes the offsets of windows of one pixel: they are zero.
            self.argmax = np.full(shape, 0 if case.kernel == (1, 1) else 255, np.uint8)
        driver.forward_pass(
            self.sizes, self.codes, self.strides, int(case.relu), int(case.scalar), EPS, self.student, self.weight,
            self.bias, self.teacher, self.loss, self.statistics, self.pooled, self.argmax,
        )  # fmt: skip
        return self

    def backward(self, driver, seed=1):
        case = self.case
        rng = np.random.default_rng(seed)
        self.grad_loss = np.array(0.7, case.accumulator)
        self.grad_pooled = (
            None if self.pooled is None else rng.standard_normal(self.pooled.shape).astype(case.accumulator)
        )
        self.grad_student = np.full_like(self.student, 0x7FFF if self.student.dtype == np.uint16 else np.nan)
        self.grad_weight = np.full(self.weight.shape, np.nan, case.accumulator)
        self.grad_bias = np.full(len(self.weight), np.nan, case.accumulator) if case.bias else None
        driver.backward_pass(
            self.sizes, self.codes, self.strides, int(case.relu), int(case.scalar), case.most_blocks, EPS, self.student,
            self.weight, self.bias, self.teacher, self.grad_loss, self.grad_pooled, self.argmax, self.statistics,
            self.grad_student, self.grad_weight, self.grad_bias,
        )  # fmt: skip
        return self

    def check_forward(self):
        student, weight, bias, teacher = self.wide
        tolerance = self.case.tolerance
        h = reference.embed(student, weight, bias, self.case.relu)
        scale = np.abs(weight).sum(1).max() * np.abs(student).max() + 1
        if teacher is not None:
            sums = reference.statistics(h, teacher)
            np.testing.assert_allclose(self.statistics, sums, rtol=tolerance, atol=tolerance * scale**2)
            expected = reference.distance_sum(sums, EPS)
            np.testing.assert_allclose(self.loss, expected, rtol=tolerance, atol=tolerance)
        if self.pooled is not None:
            windows = reference.windows(h, self.case.kernel)
            np.testing.assert_allclose(self.pooled, windows.max(-1), rtol=tolerance, atol=tolerance * scale)
            winner = np.take_along_axis(windows, self.argmax[..., None].astype(np.int64), -1)[..., 0]
            np.testing.assert_allclose(winner, windows.max(-1), rtol=tolerance, atol=tolerance * scale)

    def check_backward(self):
        case = self.case
        grad_student, grad_weight, grad_bias = reference.gradients(
            *self.wide, case.relu, EPS, float(self.grad_loss), self.grad_pooled, self.argmax, case.kernel
        )
        found = back(self.grad_student, case.elements[0], case.student_last)
        rounding = 2.0 ** -case.elements[0].digits
        self._close(found, grad_student, case.tolerance + rounding)
        self._close(self.grad_weight, grad_weight, case.tolerance)
        if case.bias:
            self._close(self.grad_bias, grad_bias, case.tolerance)

    @staticmethod
    def _close(found, expected, tolerance):
        largest = max(np.abs(expected).max(), 1e-2)  # the gradient of a single channel's cosine is zero
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=4 * tolerance * largest)


def check(case, driver, seed=0):
    run = Run(case, seed).forward(driver)
    run.check_forward()
    run.backward(driver).check_backward()
    return run


SMALL = Case()
WAYS = {
    "plain": SMALL,
    "channels_last": replace(SMALL, student_channels=8, teacher_channels=12, student_last=True, teacher_last=True),
    "packs of pixels": replace(SMALL, width=8),
    "no teacher": replace(SMALL, compares=False),
    "no pooling": replace(SMALL, kernel=(0, 0)),
    "windows of a pixel": replace(SMALL, kernel=(1, 1)),
    "window larger than a tile": replace(SMALL, height=11, width=10, kernel=(10, 9)),
    "two chunks, two parts": replace(SMALL, student_channels=66, teacher_channels=65, height=2, width=5),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", WAYS.values(), ids=WAYS.keys())
def test_every_way_of_execution(emulated, mode, order, case):
    check(case, emulated(mode, order, seed=7))


@pytest.mark.parametrize("seed", range(5))
def test_random_orders(emulated, seed):
    check(replace(SMALL, height=17, width=9, kernel=(4, 4), batch=2), emulated("plain", "random", seed))


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
@pytest.mark.parametrize(
    ("compares", "kernel"),
    [(True, (0, 0)), (True, (1, 1)), (True, (2, 2)), (False, (1, 1)), (False, (2, 2))],
    ids=lambda value: {True: "teacher", False: "no teacher"}.get(value, str(value)),
)
def test_every_combination_of_options(emulated, compares, kernel, relu, bias):
    check(
        replace(SMALL, compares=compares, kernel=kernel, relu=relu, bias=bias), emulated("plain", "random", 3)
    )


@pytest.mark.parametrize("scalar", [False, True], ids=["packs", "scalar"])
@pytest.mark.parametrize("teacher_last", [False, True], ids=["NCHW teacher", "NHWC teacher"])
@pytest.mark.parametrize("student_last", [False, True], ids=["NCHW student", "NHWC student"])
@pytest.mark.parametrize(
    "elements",
    [
        (FLOAT32,) * 4,
        (FLOAT64,) * 4,
        (FLOAT16,) * 4,
        (BFLOAT16, FLOAT32, FLOAT32, FLOAT16),
        (FLOAT32, BFLOAT16, FLOAT16, BFLOAT16),
    ],
    ids=lambda elements: "-".join(element.name for element in elements),
)
def test_layouts_and_dtypes(emulated, elements, student_last, teacher_last, scalar):
    case = Case(
        student_channels=20, teacher_channels=36, height=5, width=12, batch=2, elements=elements,
        student_last=student_last, teacher_last=teacher_last, scalar=scalar,
    )  # fmt: skip
    check(case, emulated("plain", "random", 11))


@pytest.mark.parametrize(
    ("height", "width", "kernel"),
    [
        (1, 1, (1, 1)), (1, 1, (8, 8)), (8, 64, (8, 8)), (9, 65, (8, 8)), (16, 36, (4, 4)), (7, 33, (4, 4)),
        (5, 67, (2, 2)), (3, 130, (1, 2)), (130, 3, (2, 1)), (7, 11, (3, 5)), (12, 30, (3, 6)), (19, 23, (9, 7)),
        (17, 33, (16, 16)), (2, 300, (1, 256)), (300, 2, (256, 1)), (3, 41, (2, 40)),
    ],
    ids=str,
)  # fmt: skip
def test_windows_of_every_shape(emulated, height, width, kernel):
    check(Case(4, 5, height, width, kernel), emulated("plain", "random", 5))


@pytest.mark.parametrize(
    "channels", [(1, 1), (16, 64), (17, 63), (32, 128), (33, 65), (64, 256), (80, 48), (128, 70)]
)
@pytest.mark.parametrize("kernel", [(0, 0), (2, 2)], ids=str)
def test_numbers_of_channels(emulated, channels, kernel):
    check(Case(*channels, height=5, width=14, kernel=kernel), emulated("plain", "random", 2))


@pytest.mark.parametrize("most_blocks", [1, 2, 3])
@pytest.mark.parametrize("channels", [(3, 7), (70, 130)], ids=str)
def test_a_block_that_takes_several_tiles(emulated, channels, most_blocks):
    check(
        Case(*channels, height=9, width=25, batch=2, most_blocks=most_blocks), emulated("plain", "random", 2)
    )


def test_zero_embedding_gets_no_gradient_of_the_distance(emulated):
    run = Run(replace(SMALL, kernel=(0, 0), bias=False), student=np.zeros((1, 5, 6, 7)))
    run.forward(emulated("plain")).backward(emulated("plain"))
    assert run.loss == 42  # pixels, 1 each
    assert not run.grad_student.any()
    assert not run.grad_weight.any()


def test_nan_reaches_the_maximum_the_loss_and_no_other_pixel(emulated):
    student = np.random.default_rng(0).standard_normal((1, 5, 6, 7))
    student[0, 2, 3, 4] = np.nan
    run = Run(SMALL, student=student).forward(emulated("plain", "random"))
    assert np.isnan(run.loss)
    where = np.isnan(run.statistics).any(1)[0]
    assert where[3, 4]
    assert where.sum() == 1
    assert np.isnan(run.pooled[0, :, 1, 2]).all()
    assert np.isnan(run.pooled).sum() == SMALL.teacher_channels
    assert (run.argmax[0, :, 1, 2] == 2).all()  # row 1, column 0 of the window


def test_first_of_equal_maxima_wins(emulated):
    run = Run(replace(SMALL, height=20, width=20, kernel=(10, 10)), student=np.ones((1, 5, 20, 20)))
    assert not run.forward(emulated("plain", "random")).argmax.any()


@pytest.mark.parametrize("kernel", [(8, 8), (1, 1)], ids=str)
def test_every_order_gives_the_same_bits(emulated, kernel):
    case = Case(16, 64, 16, 40, kernel, most_blocks=3)
    runs = [
        Run(case).forward(emulated("plain", order, 9)).backward(emulated("plain", order, 9))
        for order in ORDERS
    ]
    for name in ("loss", "statistics", "pooled", "argmax", "grad_student", "grad_weight", "grad_bias"):
        for other in runs[1:]:
            np.testing.assert_array_equal(getattr(runs[0], name), getattr(other, name))


def test_gradients_are_the_differences_of_the_loss(emulated):
    """In float64 throughout: the kernels' own forward pass judges their backward pass."""
    case = replace(SMALL, elements=(FLOAT64,) * 4, height=3, width=4)
    driver = emulated("plain")
    run = Run(case).forward(driver).backward(driver)

    def objective():
        run.forward(driver)
        return float(run.grad_loss * run.loss + (run.grad_pooled * run.pooled).sum())

    rng = np.random.default_rng(3)
    for values, gradient in (
        (run.student, run.grad_student), (run.weight, run.grad_weight), (run.bias, run.grad_bias),
    ):  # fmt: skip
        direction = rng.standard_normal(values.shape)
        step, kept = 1e-6, values.copy()
        values[...] = kept + step * direction
        above = objective()
        values[...] = kept - step * direction
        below = objective()
        values[...] = kept
        assert (above - below) / (2 * step) == pytest.approx((gradient * direction).sum(), rel=1e-6)


def test_the_race_checker_sees_what_it_should(emulated):
    """Two images whose gradients lie in the same memory are written by two blocks."""
    run = Run(replace(SMALL, batch=2))
    run.strides[9] = 0
    with pytest.raises(EmulationError, match="race"):
        run.forward(emulated("race")).backward(emulated("race"))
