"""Checks of arguments: a message names the argument, what was expected with its axes, and what came."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_choice(name: str, value: Any, choices: Sequence[str | None]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def as_number(name: str, value: Any, *, positive: bool) -> float:
    """A finite number above zero, or not below it."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # a whole number can be larger than any float
        number = math.inf
    if not 0 <= number < math.inf or (positive and number == 0):
        came = number if number == math.inf else value
        raise ValueError(f"{name} must be finite and {'above 0' if positive else 'at least 0'}, got {came!r}")
    return number


def as_count(name: str, value: Any) -> int:
    """A whole number of at least one: Python's, numpy's, or that of a traced shape."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Integral, torch.SymInt)):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value if isinstance(value, torch.SymInt) else int(value)  # type: ignore[return-value]


def check_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.device != other.device:
        raise ValueError(f"{name} must be on the device of {other_name}, {other.device}, got {value.device}")


def check_dense(name: str, value: Tensor) -> None:
    """Neither sparse nor quantized: an operator would be missing for it, deep inside."""
    if value.layout != torch.strided or value.is_quantized:
        raise TypeError(f"{name} must be a dense tensor, got layout {value.layout} of {value.dtype}")


# Features and maps of the losses


def check_feature(name: str, value: Any) -> None:
    """A float tensor (N, C, H, W) with at least one channel, row and column; N may be 0."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor (N, C, H, W), got {type(value).__name__}")
    if value.dtype not in DTYPES:
        raise TypeError(f"{name} must be float64, float32, float16 or bfloat16, got {value.dtype}")
    check_dense(name, value)
    if value.ndim != 4:
        raise ValueError(f"{name} must have 4 axes (N, C, H, W), got shape {tuple(value.shape)}")
    if 0 in value.shape[1:]:
        raise ValueError(
            f"{name} must have C, H and W of at least 1, got (N, C, H, W) = {tuple(value.shape)}"
        )


def check_map(name: str, value: Any) -> None:
    """A density map (N, 1, H, W)."""
    check_feature(name, value)
    if value.shape[1] != 1:
        raise ValueError(f"{name} must have one channel, (N, 1, H, W), got {tuple(value.shape)}")


def check_same_shape(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.shape != other.shape:
        raise ValueError(
            f"{name} must have the shape of {other_name}, (N, C, H, W) = {tuple(other.shape)}, "
            f"got {tuple(value.shape)}"
        )


def check_same_batch(name: str, value: Tensor, first_name: str, first: Tensor) -> None:
    """Images as many as those of `first`, on its device."""
    check_device(name, value, first_name, first)
    if value.shape[0] != first.shape[0]:
        raise ValueError(
            f"{name} must have the N of {first_name}, {first.shape[0]}, "
            f"got (N, C, H, W) = {tuple(value.shape)}"
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


def check_list(name: str, features: Any) -> None:
    if not isinstance(features, (list, tuple)):
        raise TypeError(f"{name} must be a list of tensors (N, C, H, W), got {type(features).__name__}")


def check_feature_lists(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> None:
    """Two lists of features that pair up: same shapes and devices, the same N throughout."""
    check_list("student_features", student_features)
    check_list("teacher_features", teacher_features)
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f"teacher_features must hold as many features as student_features, {len(student_features)}, "
            f"got {len(teacher_features)}"
        )
    for index, (student, teacher) in enumerate(zip(student_features, teacher_features, strict=True)):
        name = f"student_features[{index}]"
        check_student_and_teacher(student, teacher, name, f"teacher_features[{index}]")
        check_same_batch(name, student, "student_features[0]", student_features[0])


def check_target_map(name: str, value: Any, predicted_name: str, predicted: Tensor) -> Tensor:
    """A fixed density map to compare `predicted` with."""
    check_map(name, value)
    check_same_shape(name, value, predicted_name, predicted)
    check_device(name, value, predicted_name, predicted)
    check_fixed(name, value)
    return value  # type: ignore[no-any-return]


def as_channels(name: str, channels: Sequence[int]) -> tuple[int, ...]:
    """At least one number of channels."""
    if len(channels) == 0:
        raise ValueError(f"{name} must hold at least one number of channels, got none")
    return tuple(as_count(f"{name}[{index}]", count) for index, count in enumerate(channels))


def check_channels(name: str, features: Any, declared_in: str, channels: Sequence[int]) -> None:
    """A list with one feature for each of `channels`, with so many channels, as the argument `declared_in` says."""
    check_list(name, features)
    if len(features) != len(channels):
        raise ValueError(f"{name} must hold {len(channels)} features, got {len(features)}")
    for index, (feature, count) in enumerate(zip(features, channels, strict=True)):
        check_feature(f"{name}[{index}]", feature)
        if feature.shape[1] != count:
            raise ValueError(
                f"{name}[{index}] must have C = {count}, as {declared_in} says, "
                f"got (N, C, H, W) = {tuple(feature.shape)}"
            )
