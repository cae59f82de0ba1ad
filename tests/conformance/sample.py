"""What the suite knows of an operator: calls and what to compare, calls that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Arguments = dict[str, Any]  # an operator's arguments by name, in the order of its schema
Outputs = tuple[Tensor, ...]  # flat: a list of tensors is as many outputs


@dataclass(frozen=True, repr=False)
class Sample:
    """A call that must give what the reference gives in float64.

    Tags:
        gradcheck       small, float64, and smooth: differentiated numerically
        opcheck         one of those that torch.library.opcheck and torch.compile are tried on
        several blocks  enough work for blocks that take several tiles: emulated in one order, without instruments
        native          enough work for several threads on a CPU: too much for the emulation
    """

    operator: str
    name: str
    make: Callable[[], Arguments]  # the same arguments at every call
    tags: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.operator}-{self.name}"


@dataclass(frozen=True, repr=False)
class Refusal:
    """A call that must raise: the arguments of the operator's first sample, some of them changed."""

    operator: str
    message: str  # a regular expression
    changed: Arguments

    def __str__(self) -> str:
        return f"{self.operator}-{self.message[:60]}"


@dataclass(frozen=True, repr=False)
class Tested:
    """An operator, and what holds for all calls of it."""

    name: str
    samples: Sequence[Sample]
    refusals: Sequence[Refusal] = ()
    # The size of the terms whose rounding errors an output shows, for each output a number or a tensor; None: its
    # largest value.
    magnitudes: Callable[[Arguments], Sequence[Tensor | float | None]] | None = None
    # Relative and absolute error instead of those of oracle.py, where the definition is approximated.
    tolerance: tuple[float, float] | None = None
    # The call whose exact result is wanted where the backend rounds operands as an argument says.
    rounded: Callable[[Arguments], Arguments] | None = None
    images: Sequence[str] = ()  # arguments whose first axis counts images; of lists, that of each tensor
    differentiable: Sequence[str] = ()  # arguments that may get a gradient
    differentiated: Sequence[int] = (0,)  # outputs that have one
    fixed: Sequence[str] = ()  # arguments for which a gradient is refused
    mutated: str = ""  # the argument that holds the result


def name_of(options: dict[str, Any]) -> str:
    """A test's id: 'shape=2x3x5x4 layout=channels_last'."""
    return " ".join(f"{key}={_text(value)}" for key, value in options.items()) or "default"


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "x".join(map(_text, value))
    return getattr(value, "__name__", str(value)).removeprefix("torch.")
