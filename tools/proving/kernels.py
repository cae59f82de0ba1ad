"""Every operator on the features of one image: its time, and the least that the card's limits allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kernel_roofline as roofline
import torch
from torch import Tensor

from proving.setting import Setting, short

EPS = 1e-8
PEOPLE = 300


@dataclass(frozen=True)
class Row:
    """One operator with its arguments; the bytes and multiply-adds that nothing can avoid."""

    name: str
    call: Callable[[], object]
    least_bytes: int
    multiply_adds: int


def kernel_rows(setting: Setting, limits: dict[str, Any], on_row: Callable[[dict[str, Any]], None]) -> None:
    """Times each operator in each dtype and hands the rows on as they come."""
    import skt_ext

    used = skt_ext.build_info()["operators"]
    for dtype in setting.dtypes:
        # Products of half features run in half on CUDA and in float32 on the CPU.
        product = short(dtype) if setting.device.type == "cuda" else "float32"
        for row in _rows(setting, dtype):
            found: dict[str, Any] = {"operator": row.name, "dtype": short(dtype), "error": None}
            found["implementation"] = used[row.name][setting.device.type]
            try:
                seconds = setting.seconds(row.call, kernels_alone=True)
            except Exception as error:
                on_row(found | {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
                continue
            least = max(
                row.least_bytes / limits["bandwidth"], row.multiply_adds / limits["products"][product]
            )
            on_row(
                found
                | {
                    "microseconds": seconds * 1e6,
                    "least_bytes": row.least_bytes,
                    "multiply_adds": row.multiply_adds,
                    "least_microseconds": least * 1e6 if least else None,
                    "share_of_limit": least / seconds if least else None,
                }
            )


def _rows(setting: Setting, dtype: torch.dtype) -> list[Row]:
    ops = torch.ops.skt_ext
    height, width = setting.size
    maps = roofline.features(height, width, 1, dtype.itemsize)
    student = [_feature(setting, dtype, m.channels, m.height, m.width) for m in maps]
    teacher = [_feature(setting, dtype, m.channels, m.height, m.width) for m in maps]
    narrow = [_feature(setting, dtype, m.channels // 4, m.height, m.width) for m in maps]
    weights = [torch.randn(m.channels, m.channels // 4, device=setting.device) for m in maps]
    biases = [torch.randn(m.channels, device=setting.device) for m in maps]
    windows = [m.window for m in maps]
    kernels = [size for window in windows for size in (window, window)]
    channels = [m.channels for m in maps]
    half = {torch.bfloat16: "bfloat16", torch.float16: "float16"}.get(dtype, "float32")
    precision = half if setting.device.type == "cuda" else "float32"
    factor = torch.tensor(2.0, device=setting.device)

    def embed(i: int) -> tuple[Tensor, ...]:
        result: tuple[Tensor, ...] = ops.embedded_distance(
            narrow[i], weights[i], biases[i], teacher[i], True, EPS, windows[i], windows[i]
        )
        return result

    embedded = [embed(i) for i in range(len(maps))]
    upstream = [torch.randn_like(pooled) for _, pooled, _, _ in embedded]

    def embed_backward(i: int) -> object:
        _, _, argmax, statistics = embedded[i]
        return ops.embedded_distance_backward(
            factor, upstream[i], narrow[i], weights[i], biases[i], teacher[i], argmax, statistics, True, EPS,
            windows[i], windows[i],
        )  # fmt: skip

    packed, argmax, inverse = ops.pool_and_pack(student, kernels, True, True)
    other, _, _ = ops.pool_and_pack(teacher, kernels, True, False)
    gradient = torch.randn_like(packed)
    _, difference = ops.dense_fsp_distance(packed, other, channels, False, precision)
    ones = torch.ones(1, device=setting.device)
    scaled = [s.clone() for s in student]
    works = {
        name: sum((work(m) for m in maps), roofline.Work(0, 0, 0))
        for name, work in roofline.OF_EACH_FEATURE.items()
    }

    def row(name: str, call: Callable[[], object], work: roofline.Work) -> Row:
        return Row(name, call, work.least_bytes, work.operations // 2)

    every = range(len(maps))
    return [
        row("cosine_loss", lambda: [ops.cosine_loss(student[i], teacher[i], EPS, 1.0, True, False) for i in every],
            works["cosine_loss"]),
        row("rescale_", lambda: [ops.rescale_(s, factor, 2.1) for s in scaled], works["rescale_"]),
        row("embedded_distance", lambda: [embed(i) for i in every], works["embedding"]),
        row("embedded_distance_backward", lambda: [embed_backward(i) for i in every],
            works["embedding_backward"]),
        row("pool_and_pack", lambda: ops.pool_and_pack(teacher, kernels, True, False), works["pool_and_pack"]),
        row("pool_and_pack_backward",
            lambda: ops.pool_and_pack_backward(gradient, packed, argmax, inverse, student, kernels),
            works["pool_and_pack_backward"]),
        row("dense_fsp_distance", lambda: ops.dense_fsp_distance(packed, other, channels, False, precision),
            roofline.dense_fsp(maps, backward=False)),
        row("dense_fsp_distance_backward",
            lambda: ops.dense_fsp_distance_backward(ones, packed, difference, channels, False, precision),
            roofline.dense_fsp(maps, backward=True)),
        *(_density_rows(setting) if dtype == torch.float32 else []),
    ]  # fmt: skip


def _density_rows(setting: Setting) -> list[Row]:
    """Maps of one crowd; they are bound by the number of people, not by the card: no limit is stated."""
    height, width = setting.size
    points = torch.rand(PEOPLE, 2, dtype=torch.float64, device=setting.device) * torch.tensor(
        [width, height], dtype=torch.float64, device=setting.device
    )
    sigma = torch.full((PEOPLE,), 4.0, dtype=torch.float64, device=setting.device)
    offsets = torch.tensor([0, PEOPLE], device=setting.device)
    roi = torch.ones(1, height, width, dtype=torch.bool, device=setting.device)
    roi[:, :, width // 2] = False
    flat = points[:, None].contiguous(), sigma[:, None, None].expand(PEOPLE, 1, 2).contiguous()
    ops = torch.ops.skt_ext
    return [
        Row(
            "density_splat",
            lambda: ops.density_splat(*flat, offsets, height, width, 1, 4.0, True, False, None),
            0,
            0,
        ),
        Row(
            "geodesic_splat",
            lambda: ops.geodesic_splat(
                points, sigma, offsets, height, width, 1, 4.0, True, roi, None, 0.0, 10.0
            ),
            0,
            0,
        ),
    ]


def _feature(setting: Setting, dtype: torch.dtype, channels: int, height: int, width: int) -> Tensor:
    return torch.randn(1, channels, height, width, device=setting.device).to(dtype)
