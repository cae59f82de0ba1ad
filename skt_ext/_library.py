"""Define the operators, load the native library, and give every operator a kernel on CPU and CUDA devices.

That is the library's kernel where it has one, else Triton's, else the reference. Nothing is compiled here. Set
SKT_EXT_NO_NATIVE=1 to run on the reference alone.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import forward_ad

from skt_ext._numerics import full_precision

if TYPE_CHECKING:
    from skt_ext.ops._operator import Operator

NAMESPACE = "skt_ext"
LIBRARY_PATH = Path(__file__).parent / "_C.so"
REFERENCE_ONLY = os.environ.get("SKT_EXT_NO_NATIVE", "") not in ("", "0")

# Which backend each operator uses on each device.
BACKENDS: dict[str, dict[str, str]] = {}


class _Fragment(torch.library.Library):
    """Operators that refuse forward-mode differentiation, which torch takes for a derivative of 0 without a word."""

    def impl(self, op_name: str, fn: Callable[..., Any], dispatch_key: str = "", **options: Any) -> None:
        kernel = _without_forward_mode(op_name, fn) if dispatch_key == "Autograd" else fn
        super().impl(op_name, kernel, dispatch_key, **options)  # type: ignore[no-untyped-call]


def _without_forward_mode(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(keyset: Any, *arguments: Any, **options: Any) -> Any:
        # Below 0 outside of forward mode. The name is torch's own: without it every tensor is looked at.
        if getattr(forward_ad, "_current_level", 0) >= 0 and any(map(_has_tangent, arguments)):
            raise NotImplementedError(f"skt_ext::{name} has no forward-mode derivative (torch.func.jvp)")
        return kernel(keyset, *arguments, **options)

    return guarded


def _has_tangent(argument: Any) -> bool:
    if isinstance(argument, (list, tuple)):
        return any(map(_has_tangent, argument))
    if not isinstance(argument, torch.Tensor):
        return False
    return forward_ad.unpack_dual(argument).tangent is not None  # type: ignore[no-untyped-call]


# Registrations live as long as this object.
_FRAGMENT = _Fragment(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]


def register(operators: Iterable[Operator]) -> None:
    """Make torch know the operators: schemas, kernels, fakes and gradients."""
    _FRAGMENT.define("build_info() -> str")  # type: ignore[no-untyped-call]
    operators = list(operators)
    for operator in operators:
        _FRAGMENT.define(operator.schema)  # type: ignore[no-untyped-call]
    load()
    for operator in operators:
        BACKENDS[operator.name] = {device.lower(): _backend(operator, device) for device in ("CPU", "CUDA")}
        qualified = f"{NAMESPACE}::{operator.name}"
        torch.library.register_fake(qualified, operator.fake, lib=_FRAGMENT)
        if operator.gradient is not None or operator.fixed:
            torch.library.register_autograd(
                qualified,
                operator.gradient or _unreachable,
                setup_context=operator.setup_context,
                lib=_FRAGMENT,
            )


@functools.cache
def load() -> str | None:
    """Load the native library, once; the reason why not, if it could not be."""
    if REFERENCE_ONLY:
        return "SKT_EXT_NO_NATIVE is set"
    reason = None
    if LIBRARY_PATH.exists():
        try:
            torch.ops.load_library(str(LIBRARY_PATH))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError) as error:
            reason = f"{LIBRARY_PATH} could not be loaded: {error}"
    else:
        reason = f"{LIBRARY_PATH} is not there; installing with a C++ compiler at hand builds it"
    if reason is not None:
        warnings.warn(
            f"skt_ext runs on its slower pure-torch reference: {reason}", RuntimeWarning, stacklevel=2
        )
    return reason


def _backend(operator: Operator, device: str) -> str:
    """The backend that the operator uses on CPU or CUDA; registered unless the library did so."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(f"{NAMESPACE}::{operator.name}", device):
        return "native"
    if device == "CUDA" and operator.in_triton and not REFERENCE_ONLY and importlib.util.find_spec("triton"):
        _FRAGMENT.impl(operator.name, _on_triton(operator), device)
        return "triton"
    _FRAGMENT.impl(operator.name, _on_reference(operator), device)
    return "reference"


def _on_triton(operator: Operator) -> Callable[..., Any]:
    def kernel(*arguments: Any) -> Any:
        from skt_ext import _triton  # here, because importing triton takes a second

        return getattr(_triton, operator.name)(*arguments)

    return kernel


def _on_reference(operator: Operator) -> Callable[..., Any]:
    def kernel(first: torch.Tensor | Sequence[torch.Tensor], *arguments: Any) -> Any:
        device = (first if isinstance(first, torch.Tensor) else first[0]).device
        # Autocast is still active below the dispatcher and would run the products in half precision.
        with full_precision(device):
            return operator.reference(first, *arguments)

    return kernel


def _unreachable(ctx: Any, *grads: torch.Tensor) -> None:
    raise RuntimeError("the operator has no gradient")


def build_info() -> dict[str, Any]:
    """What was compiled, and which implementation each operator uses on each device.

    Returns:
        A dictionary that json can write, with

        * `version`: of skt-ext; None where the package is not installed
        * `torch`: version of the running torch
        * `library`: path of the native library in use; None where there is none
        * `reason`: why no native library is used; None where one is
        * `native`: what the library says of itself: compiler, torch target version, CUDA version and architectures
        * `operators`: the backend of each operator, `{"cosine_loss": {"cpu": "native", "cuda": "reference"}, ...}`

    Example:
        >>> sorted(build_info())
        ['library', 'native', 'operators', 'reason', 'torch', 'version']
    """
    try:
        version = metadata.version("skt-ext")
    except metadata.PackageNotFoundError:
        version = None
    reason = load()
    return {
        "version": version,
        "torch": str(torch.__version__),
        "library": str(LIBRARY_PATH) if reason is None else None,
        "reason": reason,
        "native": json.loads(torch.ops.skt_ext.build_info()) if reason is None else None,
        "operators": {name: dict(devices) for name, devices in BACKENDS.items()},
    }
