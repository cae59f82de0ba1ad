"""Load the native library; give every operator a CPU and a CUDA kernel: the library's, else Triton's, else the
reference.

Nothing is compiled here. Set SKT_EXT_NO_NATIVE=1 to ignore both.
"""

import functools
import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from skt_ext import reference
from skt_ext._numerics import full_precision

NAMESPACE = "skt_ext"
LIBRARY_PATH = Path(__file__).parent / "_C.so"

SCHEMAS = (
    "cosine_distance(Tensor student, Tensor teacher, float eps) -> (Tensor distance, Tensor statistics)",
    "cosine_distance_backward(Tensor grad, Tensor student, Tensor teacher, Tensor statistics, float eps) "
    "-> Tensor",
    "max_pool_resize(Tensor input, SymInt kernel_h, SymInt kernel_w) -> (Tensor output, Tensor argmax)",
    "max_pool_resize_backward(Tensor grad, Tensor argmax, SymInt kernel_h, SymInt kernel_w, SymInt height, "
    "SymInt width) -> Tensor",
    "cosine_loss(Tensor student, Tensor teacher, float eps, float scale, bool with_gradient) "
    "-> (Tensor loss, Tensor gradient)",
    "rescale_(Tensor(a!) gradient, Tensor grad, float scale) -> ()",
    "pool_and_pack(Tensor[] features, int[] kernels, bool normalize, bool with_argmax) "
    "-> (Tensor packed, Tensor argmax, Tensor inverse_deviation)",
    "pool_and_pack_backward(Tensor grad, Tensor packed, Tensor argmax, Tensor inverse_deviation, "
    "Tensor[] features, int[] kernels) -> Tensor[]",
    "dense_fsp_distance(Tensor student, Tensor teacher, int[] channels, bool adjacent, str precision) "
    "-> (Tensor distance, Tensor difference)",
    "dense_fsp_distance_backward(Tensor grad, Tensor student, Tensor difference, int[] channels, "
    "bool adjacent, str precision) -> Tensor",
    "embedded_distance(Tensor student, Tensor weight, Tensor? bias, Tensor? teacher, bool relu, float eps, "
    "SymInt kernel_h, SymInt kernel_w) -> (Tensor loss, Tensor pooled, Tensor argmax, Tensor statistics)",
    "embedded_distance_backward(Tensor grad_loss, Tensor? grad_pooled, Tensor student, Tensor weight, "
    "Tensor? bias, Tensor? teacher, Tensor argmax, Tensor statistics, bool relu, float eps, "
    "SymInt kernel_h, SymInt kernel_w) -> (Tensor grad_student, Tensor grad_weight, Tensor grad_bias)",
    "density_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, bool subpixel, Tensor? roi) -> Tensor",
    "geodesic_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, Tensor? roi, Tensor? image, float weight, float gain) -> Tensor",
    "geodesic_neighbors(Tensor points, SymInt neighbors, SymInt height, SymInt width, Tensor? roi, "
    "Tensor? image, float weight, float gain) -> Tensor",
)

REFERENCE_ONLY = os.environ.get("SKT_EXT_NO_NATIVE", "") not in ("", "0")


def _load() -> str | None:
    """Load the native library; the reason why not, if it could not be."""
    if REFERENCE_ONLY:
        return "SKT_EXT_NO_NATIVE is set"
    if not LIBRARY_PATH.exists():
        return f"{LIBRARY_PATH} is not there; installing with a C++ compiler at hand builds it"
    try:
        torch.ops.load_library(str(LIBRARY_PATH))  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError) as error:
        return f"{LIBRARY_PATH} could not be loaded: {error}"
    return None


def _on_reference(name: str) -> Callable[..., Any]:
    function = getattr(reference, name)

    @functools.wraps(function)
    def kernel(first: torch.Tensor | Sequence[torch.Tensor], *arguments: Any) -> Any:
        device = (first if isinstance(first, torch.Tensor) else first[0]).device
        # Autocast is still active below the dispatcher and would run the products in half precision.
        with full_precision(device):
            return function(first, *arguments)

    return kernel


# Operators that have Triton kernels, used on CUDA devices where the library has none.
IN_TRITON = ("density_splat", "geodesic_splat")


def _in_triton(name: str) -> Callable[..., Any]:
    def kernel(*arguments: Any) -> Any:
        from skt_ext import _triton  # here, because importing triton takes a second

        return getattr(_triton, name)(*arguments)

    return kernel


def _complete(library: torch.library.Library) -> dict[str, dict[str, str]]:
    """Define what the native library lacks; which backend each operator uses on each device."""
    backends: dict[str, dict[str, str]] = {}
    for schema in SCHEMAS:
        name = schema.partition("(")[0]
        if not hasattr(getattr(torch.ops, NAMESPACE), name):
            library.define(schema)  # type: ignore[no-untyped-call]
        backends[name] = {}
        for device in ("CPU", "CUDA"):
            if torch._C._dispatch_has_kernel_for_dispatch_key(f"{NAMESPACE}::{name}", device):
                used = "native"
            elif (
                device == "CUDA"
                and name in IN_TRITON
                and not REFERENCE_ONLY
                and importlib.util.find_spec("triton")
            ):
                used = "triton"
                library.impl(name, _in_triton(name), device)  # type: ignore[no-untyped-call]
            else:
                used = "reference"
                library.impl(name, _on_reference(name), device)  # type: ignore[no-untyped-call]
            backends[name][device.lower()] = used
    return backends


REASON = _load()
# The registrations live as long as this object.
_FRAGMENT = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
BACKENDS = _complete(_FRAGMENT)

if REASON is not None and not REASON.startswith("SKT_EXT_NO_NATIVE"):
    warnings.warn(f"skt_ext runs on its slower pure-torch reference: {REASON}", RuntimeWarning, stacklevel=2)


def build_info() -> dict[str, Any]:
    """What was compiled, and which implementation each operator uses on each device.

    Returns a dictionary that json can write:
        version    of skt-ext, None where the package is not installed
        torch      the running torch's version
        library    path of the native library in use, None where there is none
        reason     why no native library is used, None where one is
        native     what the library says of itself: compiler, torch target version, CUDA version and
                   architectures
        operators  {"cosine_distance": {"cpu": "native", "cuda": "reference"}, ...}

    >>> sorted(build_info())
    ['library', 'native', 'operators', 'reason', 'torch', 'version']
    """
    try:
        version = metadata.version("skt-ext")
    except metadata.PackageNotFoundError:
        version = None
    return {
        "version": version,
        "torch": str(torch.__version__),
        "library": str(LIBRARY_PATH) if REASON is None else None,
        "reason": REASON,
        "native": json.loads(torch.ops.skt_ext.build_info()) if REASON is None else None,
        "operators": {name: dict(devices) for name, devices in BACKENDS.items()},
    }
