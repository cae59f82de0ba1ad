"""The operators torch.ops.skt_ext.*: how their arguments are drawn. Their truth is the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fuzzing.draw import Draw
from fuzzing.subject import Arguments, Subject, reference_of
from skt_ext._numerics import accumulation_dtype

EPS = [1e-8, 1e-8, 1e-8, 1e-3, 1.0]
PRECISIONS = ["float32", "float32", "tf32", "bfloat16", "float16"]


def cosine_loss(draw: Draw) -> Arguments:
    shape = draw.feature_shape()
    return {
        "student": draw.tensor(shape),
        "teacher": draw.tensor(shape),
        "eps": draw.one_of(EPS),
        "scale": draw.one_of([1.0, 1.0, 0.5, -3.0, 1e-5]),
        "with_gradient": draw.chance(0.7),
        "per_pixel": draw.chance(0.5),
    }


def rescale_(draw: Draw) -> Arguments:
    dtype = draw.dtype()
    shape = draw.feature_shape() if draw.chance(0.8) else [draw.size(100) for _ in range(draw.size(3))]
    layout = draw.one_of(
        ["contiguous", "offset", "channels_last"] if len(shape) == 4 else ["contiguous", "offset"]
    )
    return {
        "gradient": draw.tensor(shape, dtype, layout),
        "grad": draw.tensor((), draw.dtype()),
        "scale": draw.one_of([1.0, 0.25, -3.0, 1e-3]),
    }


def windows(draw: Draw, height: int, width: int) -> tuple[list[int], tuple[int, int]]:
    """A window of at most 256 cells, and a size that it brings to (height, width)."""
    kernel_h = draw.size(16 if draw.chance(0.9) else 256)
    kernel_w = draw.size(min(16, 256 // kernel_h) if draw.chance(0.9) else 256 // kernel_h)
    size = tuple(
        draw.size(cells * kernel, (cells - 1) * kernel + 1)
        for cells, kernel in ((height, kernel_h), (width, kernel_w))
    )
    return [kernel_h, kernel_w], size  # type: ignore[return-value]


def pool_and_pack(draw: Draw) -> Arguments:
    batch = 0 if draw.chance(0.04) else draw.size(3)
    height, width = draw.size(6), draw.size(9)
    features, kernels = [], []
    for _ in range(draw.size(4)):
        kernel, size = windows(draw, height, width)
        channels = draw.size(max(1, min(40, 20_000 // (size[0] * size[1]))))
        features.append(draw.tensor((batch, channels, *size)))
        kernels += kernel
    return {
        "features": features,
        "kernels": kernels,
        "normalize": draw.chance(0.5),
        "with_argmax": draw.chance(0.7),
    }


def pool_and_pack_backward(draw: Draw) -> Arguments:
    forward = pool_and_pack(draw) | {"with_argmax": True}
    packed, argmax, inverse_deviation = reference_of("pool_and_pack")(**forward)
    if draw.chance(0.2):  # offsets that no forward pass makes, out of the feature where a window sticks out
        sizes = [feature.shape[1] for feature in forward["features"]]
        parts = zip(forward["kernels"][::2], forward["kernels"][1::2], argmax.split(sizes, 1), strict=True)
        offsets = [torch.randint(0, h * w, part.shape, generator=draw.generator) for h, w, part in parts]
        argmax = torch.cat(offsets, 1).to(draw.device, torch.uint8)
    return {
        "grad": draw.tensor(packed.shape, packed.dtype),
        "packed": packed,
        "argmax": argmax,
        "inverse_deviation": inverse_deviation,
        "features": forward["features"],
        "kernels": forward["kernels"],
    }


def dense_fsp_distance(draw: Draw) -> Arguments:
    channels = [draw.size(70) for _ in range(draw.size(5))]
    dtype = draw.one_of([torch.float32, torch.float32, torch.float64])
    shape = (0 if draw.chance(0.04) else draw.size(3), sum(channels), draw.size(80))
    return {
        "student": draw.tensor(shape, dtype),
        "teacher": draw.tensor(shape, dtype),
        "channels": channels,
        "adjacent": draw.chance(0.3),
        "precision": draw.one_of(PRECISIONS),
    }


def dense_fsp_distance_backward(draw: Draw) -> Arguments:
    forward = dense_fsp_distance(draw)
    student = forward["student"]
    _, difference = reference_of("dense_fsp_distance")(**forward)
    return {
        "grad": draw.tensor(student.shape[:1], student.dtype),
        "student": student,
        "difference": difference,
        "channels": forward["channels"],
        "adjacent": forward["adjacent"],
        "precision": forward["precision"],
    }


def embedded_distance(draw: Draw) -> Arguments:
    batch = 0 if draw.chance(0.04) else draw.size(2)
    kernel, (height, width) = windows(draw, draw.size(4), draw.size(6))
    if height * width > 6000:
        kernel, (height, width) = [2, 2], (draw.size(20), draw.size(30))
    inputs = draw.size(max(1, min(40, 20_000 // (height * width))))
    outputs = draw.size(max(1, min(80, 40_000 // (height * width))))
    return {
        "student": draw.tensor((batch, inputs, height, width)),
        "weight": draw.tensor((outputs, inputs)),
        "bias": draw.tensor((outputs,)) if draw.chance(0.7) else None,
        "teacher": draw.tensor((batch, outputs, height, width)) if draw.chance(0.8) else None,
        "relu": draw.chance(0.5),
        "eps": draw.one_of(EPS),
        **dict(zip(("kernel_h", "kernel_w"), kernel if draw.chance(0.7) else [0, 0], strict=True)),
    }


def embedded_distance_backward(draw: Draw) -> Arguments:
    forward = embedded_distance(draw)
    loss, pooled, argmax, statistics = reference_of("embedded_distance")(**forward)
    pools = forward["kernel_h"] > 0
    return {
        "grad_loss": draw.tensor((), loss.dtype),
        "grad_pooled": draw.tensor(pooled.shape, pooled.dtype) if pools and draw.chance(0.8) else None,
        **{name: forward[name] for name in ("student", "weight", "bias", "teacher")},
        "argmax": argmax,
        "statistics": statistics,
        **{name: forward[name] for name in ("relu", "eps", "kernel_h", "kernel_w")},
    }


def crowd(draw: Draw, largest_radius: float) -> Arguments:
    """What both operators of density maps take, in images of one size."""
    images, height, width = draw.size(3), draw.size(40), draw.size(60)
    people = [0 if draw.chance(0.2) else draw.size(8) for _ in range(images)]
    truncate = draw.one_of([4.0, 4.0, 3.0, 0.5, 0.0])
    low, high = draw.one_of([(0.3, 5.0), (0.3, 5.0), (1e-8, 0.3), (1.0, largest_radius / max(truncate, 1.0))])
    sigma = low + (high - low) * torch.rand((sum(people),), generator=draw.generator, dtype=torch.float64)
    return {
        "points": draw.points(height, width, sum(people)),
        "sigma": sigma.to(draw.device),
        "offsets": torch.tensor([0, *people], device=draw.device).cumsum(0),
        "height": height,
        "width": width,
        "stride": draw.one_of([1, 1, 2, 3, 8, 100]),
        "truncate": truncate,
        "conserve": draw.chance(0.6),
        "roi": draw.region((images, height, width)) if draw.chance(0.5) else None,
    }


def density_splat(draw: Draw) -> Arguments:
    drawn = crowd(draw, largest_radius=400.0)
    kernels = draw.one_of([1, 1, 2, 3])
    people = len(drawn["sigma"])
    factors = 0.5 + torch.rand((people, kernels, 2), generator=draw.generator, dtype=torch.float64)
    points = draw.points(drawn["height"], drawn["width"], people, (kernels,))
    roi = drawn.pop("roi")
    return drawn | {
        "points": draw.laid_out(points, "contiguous"),
        "sigma": drawn["sigma"][:, None, None] * factors.to(draw.device),
        "subpixel": draw.chance(0.5),
        "roi": roi,
    }


def geodesic_splat(draw: Draw) -> Arguments:
    drawn = crowd(draw, largest_radius=40.0)
    return drawn | costs(draw, len(drawn["offsets"]) - 1, drawn["height"], drawn["width"])


def costs(draw: Draw, images: int, height: int, width: int) -> Arguments:
    shape = (images, draw.one_of([1, 3]), height, width)
    image = torch.rand(shape, generator=draw.generator).to(draw.device)
    return {
        "image": draw.laid_out(image) if draw.chance(0.5) else None,
        "weight": draw.one_of([0.0, 0.5, 0.9]),
        "gain": draw.one_of([0.0, 1.0, 10.0]),
    }


def geodesic_neighbors(draw: Draw) -> Arguments:
    height, width = draw.size(24), draw.size(30)
    return {
        "points": draw.points(height, width, draw.size(9, 0)),
        "neighbors": draw.size(5),
        "height": height,
        "width": width,
        "roi": draw.region((1, height, width)) if draw.chance(0.6) else None,
    } | costs(draw, 1, height, width)


def rescaled(gradient: Tensor, grad: Tensor, scale: float) -> Tensor:
    torch.ops.skt_ext.rescale_(gradient, grad, scale)
    return gradient


def rescaled_by_reference(gradient: Tensor, grad: Tensor, scale: float) -> Tensor:
    dtype = accumulation_dtype(gradient, grad)
    return gradient.to(dtype) * (grad.to(dtype) / scale)


def _subject(draw: Any) -> Subject:
    name: str = draw.__name__
    function, truth = getattr(torch.ops.skt_ext, name), reference_of(name)
    products = draw in (dense_fsp_distance, dense_fsp_distance_backward)
    return Subject(
        f"torch.ops.skt_ext.{name}",
        function,
        truth,
        draw,
        any_threads=not products,
        single=draw is geodesic_neighbors,
    )


SUBJECTS = [
    Subject("torch.ops.skt_ext.rescale_", rescaled, rescaled_by_reference, rescale_, writes=("gradient",)),
    *map(
        _subject,
        [
            cosine_loss,
            pool_and_pack,
            pool_and_pack_backward,
            dense_fsp_distance,
            dense_fsp_distance_backward,
            embedded_distance,
            embedded_distance_backward,
            density_splat,
            geodesic_splat,
            geodesic_neighbors,
        ],
    ),
]
