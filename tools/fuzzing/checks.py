"""What must hold of a function and good arguments: values, gradients, layouts, and honest refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fuzzing.draw import Draw
from fuzzing.subject import Arguments, Subject

ROUNDINGS = 256  # errors of that many roundings of the largest value are accepted
TIMES_PLAIN = 64  # and so many times what plain torch loses


@dataclass(frozen=True)
class Allowance:
    """What excuses a difference.

    Args:
        finite: all arguments are finite; otherwise only NaN that is lost counts.
        single: the function computes in float32, also where its result is float64.
        coarse: operands of products were rounded to half, as features that are all half ask for on CUDA.
        summed: autograd has added parts of the result in its own dtype.
    """

    finite: bool = True
    single: bool = False
    coarse: bool = False
    summed: bool = False


class Finding(Exception):
    """A property that does not hold."""


def check(subject: Subject, arguments: Arguments, draw: Draw) -> None:
    """Raises Finding where a property does not hold for these arguments."""
    before = copied(arguments)
    allowance = _allowance(subject, arguments)
    with deterministic():
        result = subject.function(**copied(arguments))
        with threads(draw.one_of([1, 2, 3]) if subject.any_threads else 1):
            again = copied(arguments)
            repeated = subject.function(**again)
    _same_bits("a second call", result, repeated)
    unwritten = [name for name in arguments if name not in subject.writes]
    _same_bits("an argument after the call", [again[n] for n in unwritten], [before[n] for n in unwritten])
    _compare("result", result, *_truths(subject.truth, arguments), allowance)
    if subject.traceable:
        _check_fake(subject, arguments, result)
    if subject.per_image:
        _check_images(subject, arguments, result, allowance)
    if subject.student and all(tensor.numel() > 0 for tensor in leaves_of(subject, arguments)):
        _check_derivatives(subject, arguments, draw, allowance)


# Values


def _truths(function: Callable[..., Any], arguments: Arguments) -> tuple[Any, Any]:
    """In float64, and in float32: what plain torch loses there says how delicate the numbers are."""
    return function(**converted(arguments, torch.float64)), function(**converted(arguments, torch.float32))


def _allowance(subject: Subject, arguments: Arguments) -> Allowance:
    every = tensors_in(list(arguments.values()))
    students = leaves_of(subject, arguments)
    coarse = bool(students) and students[0].is_cuda and any(tensor.element_size() == 2 for tensor in students)
    return Allowance(all(tensor.isfinite().all() for tensor in every), subject.single, coarse)


def _compare(name: str, result: Any, exact: Any, rounded: Any, allowance: Allowance) -> None:
    results, exacts, roundeds = tensors_in(result), tensors_in(exact), tensors_in(rounded)
    if not len(results) == len(exacts) == len(roundeds):
        raise Finding(f"{name}: {len(results)} tensors, expected {len(exacts)}")
    # What a sum over all pixels loses, as a bias's gradient does, shows in the other gradients.
    lost = max([_lost(*pair) for pair in zip(exacts, roundeds, strict=True)], default=0.0)
    for index, (ours, true, plain) in enumerate(zip(results, exacts, roundeds, strict=True)):
        label = f"{name}[{index}]" if len(results) > 1 else name
        if ours.shape != true.shape:
            raise Finding(f"{label}: shape {tuple(ours.shape)}, expected {tuple(true.shape)}")
        if ours.is_floating_point():
            _compare_values(
                label, ours.cpu(), true.cpu(), plain.cpu(), allowance, lost if allowance.summed else 0.0
            )


def _compare_values(
    label: str, ours: Tensor, true: Tensor, plain: Tensor, allowance: Allowance, lost_elsewhere: float
) -> None:
    if ours.numel() == 0:
        return
    info = torch.finfo(ours.dtype)
    values, true, plain = ours.double(), true.double(), plain.double()
    both_nan, both_finite = true.isnan() & plain.isnan(), true.isfinite() & plain.isfinite()
    if not values[both_nan].isnan().all():
        raise Finding(f"{label}: finite where the reference is NaN, {_place(both_nan & ~values.isnan())}")
    fits = both_finite & (true.abs() < 0.99 * info.max)
    if not allowance.finite:
        return  # whether 0 times NaN is taken, and what a ReLU makes of NaN, is nobody's to say
    if allowance.summed and info.bits == 16:
        fits = fits & (true.abs() < info.max / 16)  # the parts of a larger one may be beyond a half
    if not values[fits].isfinite().all():
        raise Finding(f"{label}: {_place(fits & ~values.isfinite())} is not finite, the reference is")
    if not fits.any():
        return
    is_double = ours.dtype == torch.float64 and not allowance.single
    working = torch.finfo(torch.float64 if is_double else torch.float32)
    largest = float(true[fits].abs().max())
    lost_by_plain = max(lost_elsewhere, float((plain - true)[fits].abs().max()))
    lost_by_plain *= working.eps / torch.finfo(torch.float32).eps
    allowed = (
        ROUNDINGS * largest + 1
    ) * working.eps + TIMES_PLAIN * lost_by_plain  # 1: what cancels was of that size
    allowed = allowed + 2 * info.eps * true.abs() + 2 * info.smallest_normal * info.eps
    if allowance.coarse:
        allowed = allowed + 0.05 * largest
    if allowance.summed and info.bits == 16:
        allowed = allowed + info.eps * largest  # autograd adds the parts of a gradient in its own dtype
    error = (values - true).abs()
    if not is_double:
        error = torch.minimum(error, (values - plain).abs())
    worse = fits & (error > allowed)
    if worse.any():
        place = tuple(worse.nonzero()[0].tolist())
        raise Finding(
            f"{label}{list(place)} is {values[place]:.9g}, expected {true[place]:.9g} "
            f"(plain torch {plain[place]:.9g}); {int(worse.sum())} of {worse.numel()} are off, "
            f"largest value {largest:.3g}"
        )


def _lost(true: Tensor, plain: Tensor) -> float:
    error = (plain.double() - true.double()).abs()
    error = error[error.isfinite()]
    return float(error.max()) if error.numel() > 0 else 0.0


def _place(wrong: Tensor) -> str:
    return f"at {wrong.nonzero()[0].tolist()}, {int(wrong.sum())} of {wrong.numel()}"


def _same_bits(name: str, first: Any, second: Any) -> None:
    for a, b in zip(tensors_in(first), tensors_in(second), strict=True):
        if not torch.equal(torch.nan_to_num(a, 1.5), torch.nan_to_num(b, 1.5)):
            raise Finding(f"{name} has other bits")


def _check_fake(subject: Subject, arguments: Arguments, result: Any) -> None:
    """torch.compile plans with the shapes, dtypes and strides that fake tensors have."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = subject.function(**mapped(arguments, lambda tensor: mode.from_tensor(tensor.detach())))
    for index, (real, planned) in enumerate(zip(tensors_in(result), tensors_in(fake), strict=True)):
        for what in ("shape", "dtype", "device"):
            if getattr(real, what) != getattr(planned, what):
                raise Finding(
                    f"fake of result {index}: {what} {getattr(planned, what)}, not {getattr(real, what)}"
                )
        if real.numel() > 0 and not _same_strides(real, planned):
            raise Finding(f"fake of result {index}: strides {planned.stride()}, not {real.stride()}")


def _same_strides(real: Tensor, planned: Tensor) -> bool:
    axes = zip(real.shape, real.stride(), planned.stride(), strict=True)
    return all(a == b for size, a, b in axes if size > 1)


def _check_images(subject: Subject, arguments: Arguments, result: Any, allowance: Allowance) -> None:
    """An image gives in a batch what it gives alone."""
    if subject.per_image == "bits":
        for i, image in enumerate(result):
            _same_bits(f"image {i} alone", image, subject.function(**image_of(arguments, i))[0])
        return
    images = len(tensors_in([arguments[subject.student[0]]])[0])
    if images == 0:
        return
    alone = [subject.function(**image_of(arguments, i)) for i in range(images)]
    reduction = arguments.get("reduction", "none")
    together = torch.cat(alone) if reduction == "none" else torch.stack(alone).sum()
    expected = together / (images if reduction == "batchmean" else 1)
    _compare(
        "the images alone, not in a batch",
        expected,
        result.double(),
        result,
        Allowance(coarse=allowance.coarse),
    )


def image_of(arguments: Arguments, index: int) -> Arguments:
    """The arguments for one image of the batch."""
    batched = {name: value for name, value in arguments.items() if name != "shape"}

    def one(value: Any, inside: bool = False) -> Any:
        if isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0:
            return value[index : index + 1]
        return [one(entry, True) for entry in value] if isinstance(value, list) else value

    if "points" in arguments:  # a list of images' people
        own = {
            name: batched[name][index : index + 1]
            for name in ("points", "sigma", "roi")
            if _per_image(batched[name])
        }
        return arguments | own
    return arguments | {name: one(value) for name, value in batched.items() if name not in ("size",)}


def _per_image(value: Any) -> bool:
    return isinstance(value, (list, Tensor, np.ndarray))


# Derivatives


def _check_derivatives(subject: Subject, arguments: Arguments, draw: Draw, allowance: Allowance) -> None:
    """Gradients are those of the formula; forward mode and second derivatives are right or refused."""
    ours, weights = _gradients(subject.function, subject, arguments, draw)
    exact, _ = _gradients(subject.truth, subject, converted(arguments, torch.float64), draw, weights)
    rounded, _ = _gradients(subject.truth, subject, converted(arguments, torch.float32), draw, weights)
    for gradient, leaf in zip(ours, leaves_of(subject, arguments), strict=True):
        if gradient is None:
            raise Finding("no gradient")
        if gradient.dtype != leaf.dtype:
            raise Finding(f"gradient is {gradient.dtype}, the argument {leaf.dtype}")
    _compare("gradient", ours, exact, rounded, replace(allowance, summed=True))
    if allowance.finite and draw.numbers != "denormal":
        _check_forward_mode(subject, arguments, exact, rounded, weights, draw)
        _check_second_derivative(subject, arguments, draw, weights)


def _gradients(
    function: Callable[..., Any],
    subject: Subject,
    arguments: Arguments,
    draw: Draw,
    weights: Tensor | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Of the result times `weights`, drawn where they are not given, which are the same for the formula."""
    arguments = requiring(subject, arguments)
    result = function(**arguments)
    if weights is None:
        weights = torch.randn(result.shape, generator=draw.generator, dtype=torch.float64).to(draw.device)
    leaves = leaves_of(subject, arguments)
    if not result.requires_grad:  # every weight is 0
        return [torch.zeros_like(leaf) for leaf in leaves], weights
    found = torch.autograd.grad(result, leaves, weights.to(result.dtype), allow_unused=True)
    gradients = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]
    return gradients, weights


def _check_forward_mode(
    subject: Subject,
    arguments: Arguments,
    exact: Sequence[Tensor],
    rounded: Sequence[Tensor],
    weights: Tensor,
    draw: Draw,
) -> None:
    tangents = [
        torch.randn(leaf.shape, generator=draw.generator).to(leaf) for leaf in leaves_of(subject, arguments)
    ]

    def of_leaves(*leaves: Tensor) -> Tensor:
        result: Tensor = subject.function(**replaced(subject, arguments, list(leaves)))
        return (result.double() * weights).sum()

    try:
        _, derivative = torch.func.jvp(of_leaves, tuple(leaves_of(subject, arguments)), tuple(tangents))
    except (RuntimeError, NotImplementedError) as error:
        _require_message(error)
        return
    true, plain = (
        sum((g.double() * t.double()).sum() for g, t in zip(gradients, tangents, strict=True))
        for gradients in (exact, rounded)
    )
    scale = sum(float((g.double() * t.double()).abs().sum()) for g, t in zip(exact, tangents, strict=True))
    if not abs(float(derivative) - float(true)) <= 1e-2 * scale + 16 * abs(float(plain) - float(true)):
        raise Finding(f"forward mode gives {float(derivative):.6g} without an error, truth {float(true):.6g}")


def _check_second_derivative(subject: Subject, arguments: Arguments, draw: Draw, weights: Tensor) -> None:
    for allow_unused in (False, True):
        try:
            ours = _second_derivative(subject.function, subject, arguments, weights, allow_unused)
        except RuntimeError as error:
            _require_message(error)
            continue
        true = _second_derivative(subject.truth, subject, converted(arguments, torch.float64), weights, True)
        for found, expected in zip(ours, true, strict=True):
            size = 0.0 if expected is None else float(expected.norm())
            error = (
                size
                if found is None
                else float((found.double() - (0 if expected is None else expected)).norm())
            )
            if found is not None and found.element_size() == 2 and not found.isfinite().all():
                continue  # beyond the range of a half
            if not error <= 0.05 * size + 1e-6:
                came = "None" if found is None else f"a tensor of norm {float(found.norm()):.4g}"
                raise Finding(
                    f"second derivative (allow_unused={allow_unused}) is {came}, truth has norm {size:.4g}"
                )


def _second_derivative(
    function: Callable[..., Any], subject: Subject, arguments: Arguments, weights: Tensor, allow_unused: bool
) -> Sequence[Tensor | None]:
    arguments = requiring(subject, arguments)
    leaves = leaves_of(subject, arguments)
    result = function(**arguments)
    if not result.requires_grad:
        return [None for _ in leaves]
    first = torch.autograd.grad(
        result, leaves, weights.to(result.dtype), create_graph=True, allow_unused=True
    )
    differentiable = [
        gradient.double().square().sum()
        for gradient in first
        if gradient is not None and gradient.requires_grad
    ]
    if not differentiable:
        return [None for _ in leaves]
    return torch.autograd.grad(torch.stack(differentiable).sum(), leaves, allow_unused=allow_unused)


def _require_message(error: Exception) -> None:
    if not str(error).strip():
        raise Finding(f"{type(error).__name__} without a message")


# Arguments


def mapped(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """The same nest of dictionaries and lists with another value for each tensor."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: mapped(entry, function) for name, entry in value.items()}
    return [mapped(entry, function) for entry in value] if _is_list_of_tensors(value) else value


def _is_list_of_tensors(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(entry, Tensor) for entry in value)


def tensors_in(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    if isinstance(value, (list, tuple)):
        for entry in value:
            found += tensors_in(entry)
    elif isinstance(value, Tensor):
        found.append(value)
    return found


def copied(arguments: Arguments) -> Arguments:
    return {name: mapped(value, _same_layout) for name, value in arguments.items()}


def _same_layout(tensor: Tensor) -> Tensor:
    """A copy with the same strides and the same alignment."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return tensor.clone()
    storage = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage().clone())
    return storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def converted(arguments: Arguments, dtype: torch.dtype) -> Arguments:
    """Dense copies in which every float tensor has this dtype."""

    def convert(tensor: Tensor) -> Tensor:
        dense = tensor.detach().clone(memory_format=torch.contiguous_format)
        return dense.to(dtype) if tensor.is_floating_point() else dense

    return {name: mapped(value, convert) for name, value in arguments.items()}


def leaves_of(subject: Subject, arguments: Arguments) -> list[Tensor]:
    return tensors_in([arguments[name] for name in subject.student])


def requiring(subject: Subject, arguments: Arguments) -> Arguments:
    return replaced(
        subject, arguments, [_same_layout(t).requires_grad_() for t in leaves_of(subject, arguments)]
    )


def replaced(subject: Subject, arguments: Arguments, leaves: list[Tensor]) -> Arguments:
    """The arguments with these tensors in the place of the student's."""
    queue = iter(leaves)
    return arguments | {name: mapped(arguments[name], lambda _: next(queue)) for name in subject.student}


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """torch fills memory that nobody has written yet with NaN: who returns it is found out."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
