"""The smallest geodesic distances from each person to others: the straight line between them, plus the detour."""

import math
from typing import Any

import torch
from torch import Tensor

from skt_ext.ops._operator import Operator
from skt_ext.ops.density_splat import stands_inside
from skt_ext.ops.geodesic_splat import geodesic_distance

SCHEMA = (
    "geodesic_neighbors(Tensor points, SymInt neighbors, SymInt height, SymInt width, Tensor? roi, "
    "Tensor? image, float weight, float gain) -> Tensor"
)


def reference(
    points: Tensor,
    neighbors: int,
    height: int,
    width: int,
    roi: Tensor | None,
    image: Tensor | None,
    weight: float,
    gain: float,
) -> Tensor:
    """The smallest distances from each person to others: the straight line between them, plus the detour in pixels.

    points (P, 2) [x, y], roi (1, height, width), image (1, C, height, width) -> (P, neighbors) float64, rising;
    infinity where nobody more is reachable, and for those outside the image or roi
    """
    result = points.new_full((len(points), neighbors), math.inf)
    region = torch.ones(height, width, dtype=torch.bool) if roi is None else roi[0]
    inside = [i for i, point in enumerate(points.tolist()) if stands_inside(point, height, width, region)]
    for person in inside:
        column, row = (math.floor(value) for value in points[person].tolist())
        distance = geodesic_distance((row, column), region, None if image is None else image[0], weight, gain)
        others = []
        for other in inside:
            x, y = (math.floor(value) for value in points[other].tolist())
            detour = float(distance[y, x]) - math.hypot(x - column, y - row)
            others.append(math.dist(points[other].tolist(), points[person].tolist()) + max(detour, 0.0))
        del others[inside.index(person)]
        nearest = sorted(others)[:neighbors]
        result[person, : len(nearest)] = torch.tensor(nearest, dtype=torch.float64)
    return result


def fake(points: Tensor, neighbors: int, *options: Any) -> Tensor:
    return points.new_empty((points.shape[0], neighbors))


OPERATORS = (Operator(SCHEMA, reference, fake, fixed=("points", "image")),)
