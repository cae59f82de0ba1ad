"""Bad arguments: one or two of a good call's are replaced. A clear error must come, never a crash or a wrong result."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fuzzing.checks import Finding, copied, tensors_in
from fuzzing.draw import Draw
from fuzzing.subject import Arguments, Subject

WHOLE = [-1, 0, 1, 257, 2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**62, 2**63 - 1, 2**63, -(2**63), 10**400,
         True, 2.0, 2.5, float("nan"), "2", None, np.int64(2), np.int32(1), [1], torch.tensor(2)]  # fmt: skip
REAL = [0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-320, 1e-45, 1e308, 10**400, -(10**400),
        2**63, True, "1", None, np.float32(1), np.float64("nan"), 1j, [1.0], torch.tensor(1.0)]  # fmt: skip
SWITCH = [0, 1, 2, None, "yes", np.bool_(True), 2.0, torch.tensor(True)]
NAME = ["", "SUM", "none ", None, 3, b"sum", ["sum"], {"sum"}, float("nan")]
ANYTHING = [None, 3, 2.5, "text", [], (), {}, object(), float("nan"), 10**400]
HUGE = [(2**62, 1, 1, 1), (2**31, 2**31, 1, 1), (1, 2**62, 1, 1), (2**31, 1, 2**16, 2**15), (2**40, 0, 3, 3),
        (0, 2**62, 1, 1), (2**62,), (2**61, 2), (2**30, 2**30, 2)]  # fmt: skip


def spoil(arguments: Arguments, draw: Draw) -> tuple[Arguments, list[str]]:
    """The arguments with one or two replaced, and their names."""
    given = [name for name in arguments if name != "parameters"]  # of a module, which checks its own
    names = draw.random.sample(given, min(len(given), 1 if draw.chance(0.75) else 2))
    spoilt = dict(arguments)
    for name in names:
        spoilt[name] = _instead_of(arguments[name], draw)
    return spoilt, names


def _instead_of(value: Any, draw: Draw) -> Any:
    if isinstance(value, Tensor):
        return _other_tensor(value, draw)
    if isinstance(value, np.ndarray):
        return _other_array(value, draw)
    if isinstance(value, bool):
        return draw.one_of(SWITCH)
    if isinstance(value, int):
        return draw.one_of(WHOLE)
    if isinstance(value, float):
        return draw.one_of(REAL)
    if isinstance(value, str):
        return draw.one_of(NAME)
    if isinstance(value, dict):
        name = draw.one_of(list(value))
        return value | {name: _instead_of(value[name], draw)}
    if isinstance(value, (list, tuple)) and len(value) > 0:
        return _other_list(list(value), draw)
    return draw.one_of([*ANYTHING, torch.ones(2, 2), torch.ones(1, 2, 3, 3)])


def _other_list(value: list[Any], draw: Draw) -> Any:
    place = draw.random.randrange(len(value))
    return draw.one_of(
        [
            lambda: value[:-1],
            lambda: [*value, value[-1]],
            lambda: [],
            lambda: [*value[:place], _instead_of(value[place], draw), *value[place + 1 :]],
            lambda: [*value[:place], _instead_of(value[place], draw), *value[place + 1 :]],
            lambda: [_instead_of(entry, draw) for entry in value],
            lambda: iter(value),
            lambda: [value],
            lambda: draw.one_of(ANYTHING),
        ]
    )()


def _other_array(value: Any, draw: Draw) -> Any:
    return draw.one_of(
        [
            lambda: value.astype(object),
            lambda: value.astype(complex),
            lambda: value.astype(str),
            lambda: value[None],
            lambda: value.ravel(),
            lambda: value[..., :-1],
            lambda: np.full(value.shape, np.nan),
            lambda: np.broadcast_to(np.float32(1), (2**40, 2)),
            lambda: np.ma.masked_array(value),
            lambda: draw.one_of(ANYTHING),
        ]
    )()


def _other_tensor(value: Tensor, draw: Draw) -> Any:
    one = torch.ones((), dtype=value.dtype, device=value.device)
    return draw.one_of(
        [
            lambda: value[None],
            lambda: value.flatten(),
            lambda: value.sum() if value.is_floating_point() else value.flatten()[:1],
            lambda: (
                torch.cat([value, value], draw.random.randrange(value.ndim)) if value.ndim else value[None]
            ),
            lambda: value.narrow(draw.random.randrange(value.ndim), 0, 0) if value.ndim else value,
            lambda: one.expand(draw.one_of(HUGE)),
            lambda: one.expand(draw.one_of([size for size in HUGE if len(size) == value.ndim] or HUGE)),
            lambda: value.to("meta"),
            lambda: value.to(
                draw.one_of([torch.int64, torch.bool, torch.complex64, torch.uint8, torch.int16])
            ),
            lambda: value.to(draw.one_of([torch.float8_e4m3fn, torch.float16, torch.float64])),
            lambda: value.to(torch.float32).to_sparse(),
            lambda: torch.full_like(value, float("nan")) if value.is_floating_point() else value + 2**62,
            lambda: torch.full_like(value, 3e4) if value.is_floating_point() else -value.long(),
            lambda: value.detach().to(torch.float32).requires_grad_(),
            lambda: _overlapping(value),
            lambda: value.cpu().numpy() if value.dtype != torch.bfloat16 else None,
            lambda: torch.nn.Parameter(value.detach(), requires_grad=False),
            lambda: draw.one_of(ANYTHING),
        ]
    )()


def _overlapping(value: Tensor) -> Tensor:
    """The same shape, with elements that share memory."""
    return value.new_ones(sum(value.shape) + 1).as_strided(value.shape, [1] * value.ndim)


def check_refusal(subject: Subject, arguments: Arguments, names: list[str]) -> None:
    """Raises Finding where bad arguments give another error than they should, or take too much memory."""
    expected: tuple[type[Exception], ...] = (ValueError, TypeError)
    if not subject.public:
        expected += (RuntimeError,)
        if any(tensor.is_meta for tensor in tensors_in(list(arguments.values()))):
            expected += (IndexError, ZeroDivisionError)  # the fake plans, the operator checks
    try:
        result = subject.function(**copied(arguments))
        _use(result)
    except expected as error:
        _check_message(subject, arguments, names, error)
    except (RuntimeError, MemoryError) as error:
        if not (_is_large(arguments) and _is_about_memory(error)):
            raise Finding(
                f"{type(error).__name__} instead of a ValueError or TypeError: {_first_line(error)}"
            ) from None
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {_first_line(error)}") from None


def _use(result: Any) -> None:
    """Reads what was returned, and pulls a gradient through it."""
    for tensor in tensors_in(result):
        if tensor.numel() > 0 and not tensor.is_meta and tensor.layout == torch.strided:
            tensor.flatten()[-1].item()
        if tensor.requires_grad:
            tensor.sum().backward()


def _check_message(subject: Subject, arguments: Arguments, names: list[str], error: Exception) -> None:
    text = str(error)
    if not text.strip():
        raise Finding(f"{type(error).__name__} without a message")
    if _is_about_memory(error) and not _is_large(arguments):
        raise Finding(f"allocates without bound: {_first_line(error)}")
    # With two bad arguments the message may name either; a size that does not fit blames one of two.
    known = [*arguments, *arguments.get("options", {})]
    if subject.public and not any(name.split("_")[0] in text for name in known):
        raise Finding(f"the message names no argument ({', '.join(names)} was bad): {_first_line(error)}")


def _is_large(arguments: Arguments) -> bool:
    """May a result of these arguments need more memory than there is?"""
    shape = arguments.get("shape", [arguments.get(name, 1) for name in ("height", "width", "neighbors")])
    sizes = (
        [size for size in shape if isinstance(size, (int, np.integer))]
        if isinstance(shape, (list, tuple))
        else []
    )
    return any(size > 2**20 for size in [*sizes, *_axes(list(arguments.values()))])


def _axes(value: Any) -> list[int]:
    """The sizes of all tensors and arrays in a nest of lists."""
    if isinstance(value, (list, tuple)):
        return [size for entry in value for size in _axes(entry)]
    return list(value.shape) if isinstance(value, (Tensor, np.ndarray)) else []


def _is_about_memory(error: Exception) -> bool:
    text = str(error).lower()
    hints = ("allocate", "bad_alloc", "out of memory", "size calculation overflowed")
    return isinstance(error, MemoryError) or any(hint in text for hint in hints)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
