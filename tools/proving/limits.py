"""What the card allows, measured: bytes a second of a copy, multiply-adds a second of products."""

from __future__ import annotations

from typing import Any

import torch

from proving.setting import Setting, short


def measure_limits(setting: Setting) -> dict[str, Any]:
    """{"bandwidth": bytes/s, "products": {dtype: multiply-adds/s}}"""
    mib = 16 if setting.quick else 1024 if setting.device.type == "cuda" else 256
    source = torch.ones(mib * 2**18, device=setting.device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / setting.seconds(lambda: target.copy_(source), kernels_alone=True)
    size = 256 if setting.quick else 8192 if setting.device.type == "cuda" else 1024
    products = {}
    for name, dtype in (
        ("float32", torch.float32),
        ("tf32", torch.float32),
        *((short(d), d) for d in setting.dtypes[1:]),
    ):
        if name == "tf32" and setting.device.type != "cuda":
            continue
        before = torch.backends.cuda.matmul.fp32_precision
        torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
        try:
            products[name] = _product_rate(setting, size, dtype)
        finally:
            torch.backends.cuda.matmul.fp32_precision = before
    return {"bandwidth": bandwidth, "products": products}


def _product_rate(setting: Setting, size: int, dtype: torch.dtype) -> float:
    left, right = torch.randn(2, size, size, device=setting.device).to(dtype)
    out = torch.empty_like(left)
    return size**3 / setting.seconds(
        lambda: torch.mm(left, right, out=out), max(setting.rounds // 2, 2), kernels_alone=True
    )
