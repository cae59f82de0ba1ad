"""Features for the emulated cosine kernels, and what these should compute, in float64."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.emulation.emulated import FLOAT64, Element


def formula(student: np.ndarray, teacher: np.ndarray, eps: float) -> np.ndarray:  # (N, C, P) -> (N, P)
    lengths = [np.maximum(np.sqrt((x * x).sum(1)), eps) for x in (student, teacher)]
    return 1 - (student * teacher).sum(1) / (lengths[0] * lengths[1])


def gradient(
    student: np.ndarray, teacher: np.ndarray, grad: np.ndarray, eps: float
) -> np.ndarray:  # (N, C, P)
    """Of sum(grad * distance) for the student: the projection of -t / (|s| |t|) across s, by the chain rule."""
    length = np.sqrt((student * student).sum(1, keepdims=True))
    clamped = np.maximum(length, eps)
    of_teacher = np.maximum(np.sqrt((teacher * teacher).sum(1, keepdims=True)), eps)
    product = (student * teacher).sum(1, keepdims=True)
    along = np.where(length > eps, product / np.where(length > 0, length, 1) ** 2, 0) * student
    return np.where(length > 0, grad[:, None] * (along - teacher) / (clamped * of_teacher), 0)


@dataclass
class Features:
    """Student and teacher, (N, C, P) in their element types."""

    student_type: Element
    teacher_type: Element
    batch: int
    channels: int
    pixels: int
    seed: int = 0
    student: np.ndarray = field(init=False)
    teacher: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        shape = (self.batch, self.channels, self.pixels)
        self.student = self.student_type.of(random.standard_normal(shape))
        self.teacher = self.teacher_type.of(random.standard_normal(shape))

    @property
    def accumulator(self) -> type:
        return np.float64 if FLOAT64 in (self.student_type, self.teacher_type) else np.float32

    @property
    def tolerance(self) -> float:
        return 1e-13 if self.accumulator is np.float64 else 2e-6

    @property
    def wide_student(self) -> np.ndarray:
        return self.student_type.wide(self.student)

    @property
    def wide_teacher(self) -> np.ndarray:
        return self.teacher_type.wide(self.teacher)

    def arguments(self, by_channels: bool) -> tuple[object, ...]:
        """Types, memory and sizes, as the drivers take them."""
        s, t = (laid_out(x, by_channels) for x in (self.student, self.teacher))
        return (self.student_type.code, s, self.teacher_type.code, t, self.batch, self.channels, self.pixels)

    def empty_gradient(self, by_channels: bool) -> np.ndarray:
        return laid_out(self.student_type.of(np.full(self.student.shape, np.nan)), by_channels)

    def check_gradient(self, out: np.ndarray, expected: np.ndarray, by_channels: bool) -> None:
        """As right as the element type can be at the scale of each pixel's vector."""
        got = self.student_type.wide(out.transpose(0, 2, 1) if by_channels else out)
        rounding = 2.0 ** (1 - self.student_type.digits) * np.abs(expected).max(1, keepdims=True)
        # The two terms, each of the order of 1 / |s|, may cancel (they do for a single channel).
        length = np.sqrt((self.wide_student**2).sum(1, keepdims=True))
        cancelled = 40 * self.tolerance / np.where(length > 0, length, 1)
        # Below the smallest normal number of float16 the steps are absolute.
        smallest = 2.0**-24 if self.student_type.name == "float16" else 0
        assert np.isfinite(got).all()
        assert (np.abs(got - expected) <= rounding + cancelled + smallest).all()


def laid_out(x: np.ndarray, by_channels: bool) -> np.ndarray:
    """(N, C, P), or (N, P, C) in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 1) if by_channels else x)
