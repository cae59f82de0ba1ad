"""Where to compute, and in which precision: float32, or bfloat16 where the device computes it natively."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from skt_crowd.errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where torch sees a device, else the CPU.

    Raises:
        UsageError: another name, or CUDA where there is none.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device: expected auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: cuda was asked for, but torch sees no CUDA device")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


PRECISIONS = ("float32", "bfloat16", "auto")


def resolve_precision(precision: str, device: torch.device | str) -> str:
    """``"float32"`` or ``"bfloat16"``: what ``"auto"`` means on ``device``, and the other two as they are.

    ``"auto"`` is bfloat16 on CUDA devices with bfloat16 units and on CPUs with AVX512-BF16 or AMX, where it
    is faster; elsewhere bfloat16 is emulated and slower than float32, so float32.

    Raises:
        UsageError: another name.

    Example:
        >>> resolve_precision("float32", "cpu")
        'float32'
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "auto":
        return precision
    return "bfloat16" if has_native_bfloat16(torch.device(device)) else "float32"


def autocast_for(precision: str, device: torch.device | str) -> AbstractContextManager[object]:
    """A context in which convolutions run in ``precision`` on ``device``; weights stay float32.

    Raises:
        UsageError: not a precision.

    Example:
        >>> with autocast_for("bfloat16", "cpu"):
        ...     torch.nn.Conv2d(3, 1, 1)(torch.zeros(1, 3, 2, 2)).dtype
        torch.bfloat16
    """
    resolved = resolve_precision(precision, device)
    # Disabled rather than absent: "float32" means float32 also inside somebody else's autocast.
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=resolved == "bfloat16")


def in_full_precision(layer: nn.Conv2d, feature: torch.Tensor) -> torch.Tensor:
    """``layer(feature)`` in the precision of the layer's weights, whatever autocast says.

    For layers with one output channel, which cost nothing: bfloat16 would round each cell of a density map to
    three digits.

    Example:
        >>> with autocast_for("bfloat16", "cpu"):
        ...     in_full_precision(nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 2, 2)).dtype
        torch.float32
    """
    with without_autocast(feature.device):
        result: torch.Tensor = layer(feature.to(layer.weight.dtype))
    return result


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which every layer computes in its own precision; also for devices that know no autocast."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
