"""Argument checks of the public functions: a message names the argument, what was expected, and what came."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_feature(name: str, value: Any) -> None:
    """A float tensor (N, C, H, W) with at least one channel, row and column; N may be 0."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor (N, C, H, W), got {type(value).__name__}")
    if value.dtype not in DTYPES:
        raise TypeError(f"{name} must be float64, float32, float16 or bfloat16, got {value.dtype}")
    if value.ndim != 4:
        raise ValueError(f"{name} must have 4 axes (N, C, H, W), got shape {tuple(value.shape)}")
    if 0 in value.shape[1:]:
        raise ValueError(
            f"{name} must have C, H and W of at least 1, got (N, C, H, W) = {tuple(value.shape)}"
        )


def check_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.device != other.device:
        raise ValueError(f"{name} must be on the device of {other_name}, {other.device}, got {value.device}")


def check_same_shape(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.shape != other.shape:
        raise ValueError(
            f"{name} must have the shape of {other_name}, (N, C, H, W) = {tuple(other.shape)}, "
            f"got {tuple(value.shape)}"
        )


def check_fixed(name: str, value: Tensor) -> None:
    """A target of the loss, which gets no gradient: silence would be mistaken for a zero gradient."""
    if torch.is_grad_enabled() and value.requires_grad:
        raise ValueError(
            f"{name} requires a gradient, but it is a fixed target: compute it under torch.no_grad() "
            f"or pass {name}.detach()"
        )


def check_student_and_teacher(
    student: Any, teacher: Any, student_name: str = "student", teacher_name: str = "teacher"
) -> None:
    """Two features of the same shape and device; dtypes may differ."""
    check_feature(student_name, student)
    check_feature(teacher_name, teacher)
    check_same_shape(teacher_name, teacher, student_name, student)
    check_device(teacher_name, teacher, student_name, student)
    check_fixed(teacher_name, teacher)


def check_choice(name: str, value: Any, choices: Sequence[str | None]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_number(name: str, value: Any, *, positive: bool) -> None:
    """A finite number above zero, or not below it."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not 0 <= float(value) < math.inf or (positive and value == 0):
        raise ValueError(
            f"{name} must be finite and {'above 0' if positive else 'at least 0'}, got {value!r}"
        )


def check_count(name: str, value: Any) -> None:
    """A whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Integral, torch.SymInt)):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_feature_lists(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
    """Two lists of features that pair up: same shapes and devices, the same N throughout."""
    for name, features in (("student_features", student_features), ("teacher_features", teacher_features)):
        if not isinstance(features, (list, tuple)):
            raise TypeError(f"{name} must be a list of tensors (N, C, H, W), got {type(features).__name__}")
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"teacher_features must hold as many features as student_features, {len(student_features)}, "
            f"got {len(teacher_features)}"
        )
    for index, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
        name = f"student_features[{index}]"
        check_student_and_teacher(student, teacher, name, f"teacher_features[{index}]")
        check_device(name, student, "student_features[0]", student_features[0])
        if student.shape[0] != student_features[0].shape[0]:
            raise ValueError(
                f"{name} must have the N of student_features[0], {student_features[0].shape[0]}, "
                f"got (N, C, H, W) = {tuple(student.shape)}"
            )


def check_map(name: str, value: Any) -> None:
    """A density map (N, 1, H, W)."""
    check_feature(name, value)
    if value.shape[1] != 1:
        raise ValueError(f"{name} must have one channel, (N, 1, H, W), got {tuple(value.shape)}")


def check_target_map(name: str, value: Any, predicted_name: str, predicted: Tensor) -> Tensor:
    """A fixed density map to compare `predicted` with."""
    check_map(name, value)
    check_same_shape(name, value, predicted_name, predicted)
    check_device(name, value, predicted_name, predicted)
    check_fixed(name, value)
    return value  # type: ignore[no-any-return]


def check_channels(name: str, channels: Sequence[int]) -> None:
    """At least one number of channels."""
    if len(channels) == 0:
        raise ValueError(f"{name} must hold at least one number of channels, got none")
    for index, count in enumerate(channels):
        check_count(f"{name}[{index}]", count)


def check_feature_count(name: str, features: Sequence[Tensor], channels: Sequence[int]) -> None:
    """A list with one feature for each of `channels`."""
    if not isinstance(features, (list, tuple)):
        raise TypeError(f"{name} must be a list of tensors (N, C, H, W), got {type(features).__name__}")
    if len(features) != len(channels):
        raise ValueError(f"{name} must hold {len(channels)} features, got {len(features)}")


def check_channel_count(name: str, feature: Tensor, declared_in: str, channels: int) -> None:
    """A feature with as many channels as the argument `declared_in` said."""
    if feature.shape[1] != channels:
        raise ValueError(
            f"{name} must have C = {channels}, as {declared_in} says, "
            f"got (N, C, H, W) = {tuple(feature.shape)}"
        )
