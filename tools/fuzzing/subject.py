"""One function to be fuzzed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzzing.draw import Draw
from skt_ext.ops import OPERATORS

Arguments = dict[str, Any]  # by name, in the order of the signature


@dataclass(frozen=True)
class Subject:
    """A function, the plain truth about it, and good arguments for it.

    Args:
        name: as a user writes it.
        function: takes the arguments by name.
        truth: the same function in plain torch, whose arguments are all of one dtype.
        draw: good arguments.
        public: refuses bad arguments with ValueError or TypeError that names them; otherwise RuntimeError will do.
        student: arguments that get gradients.
        per_image: does image b of a batch give what the image alone gives? "bits", "about", or "" for no batch.
        writes: arguments that it changes.
        traceable: can it run on fake tensors?
        any_threads: the bits do not depend on the number of threads, as those of torch's products do.
        single: it computes in float32 at least in part, also where its result is float64.
    """

    name: str
    function: Callable[..., Any]
    truth: Callable[..., Any]
    draw: Callable[[Draw], Arguments]
    public: bool = False
    student: tuple[str, ...] = ()
    per_image: str = ""
    writes: tuple[str, ...] = ()
    traceable: bool = True
    any_threads: bool = True
    single: bool = False


def reference_of(name: str) -> Callable[..., Any]:
    """The reference of an operator."""
    return OPERATORS[name].reference
