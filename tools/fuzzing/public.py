"""The public functions: how their arguments are drawn, and their formulas in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fuzzing.draw import Draw
from fuzzing.operators import EPS, windows
from fuzzing.subject import Arguments, Subject, reference_of
from skt_ext import density, losses, reference

REDUCTIONS = ["sum", "batchmean", "none"]

# Losses


def pattern(draw: Draw) -> Arguments:
    shape = draw.feature_shape()
    return {
        "student": draw.tensor(shape),
        "teacher": draw.tensor(shape),
        "reduction": draw.one_of(REDUCTIONS),
    }


def cosine_transfer_loss(draw: Draw) -> Arguments:
    return pattern(draw) | {"eps": draw.one_of(EPS)}


def cosine_formula(student: Tensor, teacher: Tensor, *, eps: float, reduction: str) -> Tensor:
    """1 - s.t / (max(|s|, eps) max(|t|, eps)), with a gradient of 0 where the student's vector is 0."""
    zero = (student == 0).all(1, keepdim=True)
    s, t = torch.where(zero, 0, student), teacher  # no gradient from there, and none of NaN
    length = torch.where(zero[:, 0], 1, s.square().sum(1)).sqrt()
    length = torch.where(zero[:, 0], eps, length.clamp(min=eps))
    return _reduced(1 - (s * t).sum(1) / (length * t.square().sum(1).sqrt().clamp(min=eps)), reduction)


def l2_formula(student: Tensor, teacher: Tensor, *, reduction: str) -> Tensor:
    return _reduced((student - teacher).square().sum(1), reduction)


def fsp_matrix(draw: Draw) -> Arguments:
    batch, channels, height, width = draw.feature_shape()
    return {
        "first": draw.tensor((batch, channels, height, width)),
        "second": draw.tensor((batch, draw.size(40), height, width)),
        "normalize": draw.one_of([None, "instance"]),
    }


def dense_fsp_loss(draw: Draw) -> Arguments:
    batch = 0 if draw.chance(0.04) else draw.size(2)
    height, width = draw.size(6), draw.size(9)
    shapes: list[tuple[int, int, int, int]] = []
    for _ in range(draw.size(4, 2)):
        _, size = windows(draw, height, width)
        shapes.append((batch, draw.size(max(1, min(40, 20_000 // (size[0] * size[1])))), *size))
    size: Any = draw.one_of([(height, width), [height, width]])
    if draw.chance(0.5):
        shapes[-1] = (batch, shapes[-1][1], height, width)
        size = None
    if height == width and draw.chance(0.5):
        size = height
    return {
        "student_features": [draw.tensor(shape) for shape in shapes],
        "teacher_features": [draw.tensor(shape) for shape in shapes],
        "size": size,
        "normalize": draw.one_of([None, "instance"]),
        "pairs": draw.one_of(["dense", "dense", "adjacent"]),
        "reduction": draw.one_of(REDUCTIONS),
    }


def dense_fsp_formula(
    student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], **options: Any
) -> Tensor:
    if isinstance(options["size"], int):
        options["size"] = (options["size"],) * 2
    return reference.dense_fsp_loss(student_features, teacher_features, **options)


def density_map_loss(draw: Draw) -> Arguments:
    batch, _, height, width = draw.feature_shape()
    return {
        **{name: draw.tensor((batch, 1, height, width)) for name in ("predicted", "hard", "soft")},
        "hard_weight": draw.one_of([1.0, 0, 0.3]),
        "soft_weight": draw.one_of([1.0, 0, 2]),
        "reduction": draw.one_of(REDUCTIONS),
    }


def density_map_formula(predicted: Tensor, hard: Tensor, soft: Tensor, **options: Any) -> Tensor:
    weights = options["hard_weight"], options["soft_weight"]
    values = torch.zeros_like(predicted)
    for weight, target in zip(weights, (hard, soft), strict=True):
        if weight != 0:
            values = values + weight * (predicted - target).square()
    return _reduced(values, options["reduction"])


def structured_knowledge_transfer(draw: Draw) -> Arguments:
    batch, height, width = draw.size(2), draw.size(5), draw.size(7)
    draw.numbers = "normal"  # a ReLU's or a pooling's decision must not hang on a rounding error
    levels = [windows(draw, height, width)[1] for _ in range(draw.size(3) - 1)] + [(height, width)]
    inputs, outputs = ([draw.size(24) for _ in levels] for _ in range(2))
    map_size = windows(draw, height, width)[1] if draw.chance(0.5) else (height, width)
    parameters = []
    for wide, narrow in zip(outputs, inputs, strict=True):
        parameters += [draw.tensor((wide, narrow, 1, 1), torch.float32, "contiguous")]
        parameters += [draw.tensor((wide,), torch.float32, "contiguous")]
    return {
        "student_features": [draw.tensor((batch, c, *size)) for c, size in zip(inputs, levels, strict=True)],
        "teacher_features": [draw.tensor((batch, c, *size)) for c, size in zip(outputs, levels, strict=True)],
        "student_map": draw.tensor((batch, 1, *map_size)),
        "teacher_map": draw.tensor((batch, 1, *map_size)),
        "target": draw.tensor((batch, 1, *map_size)),
        "parameters": parameters,
        "options": {
            "profile": draw.one_of(["paper", "released"]),
            "weights": draw.one_of([(0.5, 0.5, 1.0), (1.0, 0, 1.0), (0, 1.0, 0), (0.5, 2.0, 0)]),
            "reduction": draw.one_of(["sum", "batchmean"]),
        },
    }


def transfer(student_features: Any, teacher_features: Any, student_map: Any, teacher_map: Any, target: Any,
             parameters: Sequence[Tensor], options: dict[str, Any]) -> Tensor:  # fmt: skip
    """The module's total with these parameters, which a loop's student and its gradient scaler see as one function."""
    channels = [weight.shape[:2] for weight in parameters[::2]]
    module = losses.StructuredKnowledgeTransfer([i for _, i in channels], [o for o, _ in channels], **options)
    named = dict(zip([name for name, _ in module.named_parameters()], parameters, strict=True))
    arguments = (student_features, teacher_features, student_map, teacher_map, target)
    result: losses.TransferLoss = torch.func.functional_call(module, named, arguments)
    return result.total


def transfer_formula(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], student_map: Tensor,
                     teacher_map: Tensor, target: Tensor, parameters: Sequence[Tensor],
                     options: dict[str, Any]) -> Tensor:  # fmt: skip
    intra_weight, inter_weight, map_weight = options["weights"]
    released, reduction = options["profile"] == "released", options["reduction"]
    targets = list(teacher_features)
    hidden = [
        F.conv2d(feature, weight, bias)
        for feature, weight, bias in zip(student_features, parameters[::2], parameters[1::2], strict=True)
    ]
    if released:
        hidden = [feature.relu() for feature in hidden]
    size = student_features[-1].shape[2:]
    maps = [student_map, teacher_map, target]
    total = student_map.new_zeros(())
    if intra_weight:
        distances = [
            cosine_formula(h, t, eps=1e-8, reduction=reduction) for h, t in zip(hidden, targets, strict=True)
        ]
        total = total + intra_weight * torch.stack(distances).sum()
    if inter_weight:
        ours, theirs = list(hidden), list(targets)
        if released:
            ours, theirs = [*ours, maps[0]], [*theirs, maps[1]]
        if len(ours) > 1:
            relation = reference.dense_fsp_loss(
                ours, theirs, size=size, normalize="instance" if released else None, reduction=reduction
            )
            total = total + inter_weight * relation
    if map_weight:
        errors = [_reduced((maps[0] - m).square(), reduction) for m in maps[1:]]
        total = total + map_weight * (errors[0] + errors[1])
    return total


def _reduced(values: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return values
    return values.sum() / (max(len(values), 1) if reduction == "batchmean" else 1)


# Density maps


def map_options(draw: Draw) -> Arguments:
    return {
        "truncate": draw.one_of([4.0, 4.0, 3, 0.7]),
        "boundary": draw.one_of(["conserve", "clip"]),
        "subpixel": draw.chance(0.4),
        "stride": draw.one_of([1, 1, 2, 8, 100]),
    }


def some_sigma(draw: Draw, people: int, kernels: int) -> Any:
    """One number, or a tensor or array of one of the shapes that density_map takes."""
    low, high = draw.one_of([(0.3, 5.0), (0.3, 5.0), (1e-8, 0.3), (1.0, 60.0)])
    if draw.chance(0.3):
        return draw.between(low, high)
    shape = draw.one_of(
        [(people,), (people, 2)] if kernels == 1 else [(people, kernels), (people, kernels, 2)]
    )
    sigma = low + (high - low) * torch.rand(shape, generator=draw.generator, dtype=torch.float64)
    return draw.as_array(draw.laid_out(sigma.to(draw.one_of([torch.float64, torch.float32])).to(draw.device)))


def some_people(draw: Draw, height: int, width: int, kernels: int) -> tuple[Any, int]:
    people = 0 if draw.chance(0.1) else draw.size(8)
    points = draw.points(height, width, people, (kernels,) if kernels > 1 else ())
    points = points.clamp(-1e6, 1e6).to(draw.one_of([torch.float64, torch.float32, torch.int64]))
    return draw.as_array(draw.laid_out(points, draw.one_of(["contiguous", "sliced", "permuted"]))), people


def density_map(draw: Draw) -> Arguments:
    height, width, kernels = draw.size(40), draw.size(60), draw.one_of([1, 1, 1, 2])
    points, people = some_people(draw, height, width, kernels)
    return {
        "points": points,
        "shape": draw.one_of([(height, width), [height, width], torch.Size((height, width))]),
        "sigma": some_sigma(draw, people, kernels),
        "roi": draw.as_array(draw.region((height, width))) if draw.chance(0.4) else None,
        **map_options(draw),
    }


def geodesic_map(draw: Draw) -> Arguments:
    height, width = draw.size(24), draw.size(30)
    points, people = some_people(draw, height, width, 1)
    sigma = draw.between(0.3, 5.0) if draw.chance(0.5) else torch.full((people,), 2.0).to(draw.device)
    return {
        "points": points,
        "shape": (height, width),
        "sigma": sigma,
        "roi": draw.as_array(draw.region((height, width))) if draw.chance(0.6) else None,
        "image": some_image(draw, (height, width)) if draw.chance(0.6) else None,
        "geodesic_weight": draw.one_of([0, 0.0, 0.5, 0.9]),
        "geodesic_gain": draw.one_of([0, 1.0, 10]),
        **map_options(draw),
        "subpixel": False,
    }


def some_image(draw: Draw, shape: tuple[int, ...]) -> Any:
    """(C, *shape) or of that shape, uint8 or float"""
    if draw.chance(0.7):
        shape = (*shape[:-2], draw.one_of([1, 3]), *shape[-2:])
    image = torch.rand(shape, generator=draw.generator)
    if draw.chance(0.5):
        image = (image * 255).to(torch.uint8)
    return draw.as_array(draw.laid_out(image.to(draw.device)))


def density_maps(draw: Draw) -> Arguments:
    images, height, width, kernels = draw.size(3), draw.size(30), draw.size(40), draw.one_of([1, 1, 2])
    crowds = [some_people(draw, height, width, kernels) for _ in range(images)]
    sigma = 2.0 if draw.chance(0.3) else [some_sigma(draw, people, kernels) for _, people in crowds]
    return {
        "points": [points for points, _ in crowds],
        "shape": (height, width),
        "sigma": sigma,
        "roi": draw.as_array(draw.region((images, height, width))) if draw.chance(0.4) else None,
        **map_options(draw),
    }


def downsample_density(draw: Draw) -> Arguments:
    shape = [draw.size(3) for _ in range(draw.size(3) - 1)]
    return {
        "density": draw.tensor((*shape, draw.size(40, 0), draw.size(60, 0))),
        "factor": draw.one_of([1, 2, 3, 8, 16, 100]),
    }


def blocks_formula(density: Tensor, factor: int) -> Tensor:
    rows, columns = (-(-size // factor) for size in density.shape[-2:])
    result = density.new_zeros((*density.shape[:-2], rows, columns))
    for row in range(rows):
        for column in range(columns):
            block = density[..., row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            result[..., row, column] = block.sum((-2, -1))
    return result


# Sigma


def geometry_adaptive_sigma(draw: Draw) -> Arguments:
    minimum = draw.one_of([0.5, 1e-6, 3])
    return {
        "points": some_people(draw, 40, 60, 1)[0],
        "beta": draw.one_of([0.3, 1, 5.0]),
        "neighbors": draw.one_of([1, 3, 20]),
        "fallback": draw.one_of([15.0, 1]),
        "minimum": minimum,
        "maximum": draw.one_of([None, minimum, 10.0]),
    }


def nearest_neighbor_sigma(draw: Draw) -> Arguments:
    return {"points": some_people(draw, 40, 60, 1)[0], "maximum": draw.one_of([30.0, 3]), "minimum": 0.5}


def geodesic_adaptive_sigma(draw: Draw) -> Arguments:
    height, width = draw.size(20), draw.size(24)
    return {
        "points": some_people(draw, height, width, 1)[0],
        "roi": draw.as_array(draw.region((height, width))),
        "image": some_image(draw, (height, width)) if draw.chance(0.5) else None,
        "geodesic_weight": draw.one_of([0.0, 0.5]),
        "beta": draw.one_of([0.3, 1]),
        "neighbors": draw.one_of([1, 3, 20]),
    }


def perspective_sigma(draw: Draw) -> Arguments:
    shape = draw.size(20), draw.size(20)
    perspective = 0.1 + torch.rand(shape, generator=draw.generator, dtype=torch.float64)
    return {
        "points": some_people(draw, *shape, 1)[0],
        "perspective": draw.as_array(draw.laid_out(perspective.to(draw.device))),
        "metres": draw.one_of([0.2, 1]),
    }


def geometry_formula(points: Any, *, beta: float, neighbors: int, fallback: float, minimum: float,
                     maximum: float | None) -> Tensor:  # fmt: skip
    points = _float64(points)
    if len(points) < 2:
        return torch.full((len(points),), float(fallback), dtype=torch.float64)
    distances = (points[:, None] - points[None]).square().sum(2).sqrt()
    nearest = distances.sort(1).values[:, 1 : neighbors + 1]
    return (beta * nearest.mean(1)).clamp(minimum, maximum)


def nearest_formula(points: Any, *, maximum: float, minimum: float) -> Tensor:
    options = {"fallback": maximum, "minimum": minimum, "maximum": maximum}
    return geometry_formula(points, beta=1.0, neighbors=1, **options)


def perspective_formula(points: Any, perspective: Any, *, metres: float) -> Tensor:
    scale = _float64(perspective)
    sigma = []
    for x, y in _float64(points).tolist():
        row, column = (
            min(max(math.floor(value), 0), size - 1) for value, size in zip((y, x), scale.shape, strict=True)
        )
        sigma.append(metres * float(scale[row, column]))
    return torch.tensor(sigma, dtype=torch.float64)


def geodesic_formula(points: Any, roi: Any, *, image: Any, geodesic_weight: float, beta: float,
                     neighbors: int) -> Tensor:  # fmt: skip
    region = torch.as_tensor(roi.copy() if hasattr(roi, "flags") else roi).cpu()
    if image is not None:
        values = _float64(image).float()
        is_uint8 = image.dtype in (torch.uint8, "uint8")
        image = (values / 255 if is_uint8 else values).reshape(-1, *region.shape)[None]
    people = _float64(points)
    distances = reference_of("geodesic_neighbors")(
        people, max(neighbors, 1), *region.shape, region[None], image, geodesic_weight, 10.0
    )
    sigma = []
    for row in distances.tolist():
        found = [distance for distance in row if distance < math.inf][: max(len(people) - 1, 1)]
        sigma.append(max(beta * sum(found) / len(found), 0.5) if found else 15.0)
    return torch.tensor(sigma, dtype=torch.float64)


def _float64(values: Any) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values.astype("float64", order="C"))
    return tensor.double().cpu()


def _by_reference(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda **arguments: function(**arguments, backend="reference")


def _loss(draw: Callable[[Draw], Arguments], formula: Callable[..., Any], *student: str) -> Subject:
    function = getattr(losses, draw.__name__)
    single = draw is density_map_loss  # a term whose tensors are float32 is, whatever the other's are
    products = draw in (fsp_matrix, dense_fsp_loss)
    return Subject(
        f"losses.{draw.__name__}",
        function,
        formula,
        draw,
        public=True,
        student=student,
        per_image="about",
        any_threads=not products,
        single=single,
    )


def l2_transfer_loss(draw: Draw) -> Arguments:
    return pattern(draw)


def _density(draw: Callable[[Draw], Arguments], formula: Callable[..., Any]) -> Subject:
    function = getattr(density, draw.__name__)
    single = draw is geodesic_adaptive_sigma
    return Subject(f"density.{draw.__name__}", function, formula, draw, True, traceable=False, single=single)


SUBJECTS = [
    _loss(cosine_transfer_loss, cosine_formula, "student"),
    _loss(l2_transfer_loss, l2_formula, "student"),
    _loss(fsp_matrix, reference.fsp_matrix, "first", "second"),
    _loss(dense_fsp_loss, dense_fsp_formula, "student_features"),
    _loss(density_map_loss, density_map_formula, "predicted"),
    Subject(
        "losses.StructuredKnowledgeTransfer",
        transfer,
        transfer_formula,
        structured_knowledge_transfer,
        True,
        ("student_features", "student_map", "parameters"),
        any_threads=False,
        single=True,  # a term whose tensors are float32 is, whatever the others are
    ),
    _density(density_map, _by_reference(density.density_map)),
    Subject("density.density_map of walls", density.density_map, _by_reference(density.density_map), geodesic_map,
            True, traceable=False),
    Subject("density.density_maps", density.density_maps, _by_reference(density.density_maps), density_maps,
            True, per_image="bits", traceable=False),
    Subject("density.downsample_density", density.downsample_density, blocks_formula, downsample_density, True),
    _density(geometry_adaptive_sigma, geometry_formula),
    _density(nearest_neighbor_sigma, nearest_formula),
    _density(geodesic_adaptive_sigma, geodesic_formula),
    _density(perspective_sigma, perspective_formula),
]  # fmt: skip
