"""Where to compute."""

from __future__ import annotations

import torch

from skt_crowd.errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where torch sees a device, else the CPU.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises:
        UsageError: another word, or CUDA where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device: expected auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: cuda was asked for, but torch sees no CUDA device")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
