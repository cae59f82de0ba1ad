"""Where the mass of people's kernels lies on real crowds: plain, cut to the region, and geodesic.

    python tools/measure_density_leaks.py ../shared/data docs/results/density_leaks.csv

The folder holds mall and shanghaitech. Widths are 0.2 m by the perspective map for Mall, and 0.3 times the mean
distance to three neighbours for Part A. Columns, of all people of the data set together:

    sum          of the maps, over people
    outside      share of the mass outside the region of interest
    on_people    share of the mass on moving pixels: those that differ from the median of Mall's frames by more than
                 THRESHOLD in some channel, within 1.5 m of any point; Mall only
    across_edges share of the mass at pixels whose straight line to the person passes a strong edge, one of the 5 % of
                 pixels with the largest gradient of a picture smoothed by 1 pixel; of a sample of people
    spread       root mean square distance of the mass from the person along an axis, over sigma: 1 for a whole
                 Gaussian; of the same sample. A narrower kernel leaks less whatever its shape, so plain kernels of
                 other widths are measured beside the geodesic ones
    ms           milliseconds an image, the best of three calls, on the threads that torch uses
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, sobel

from skt_crowd.data import CrowdSample, Mall, ShanghaiTech
from skt_ext.density import density_map, geometry_adaptive_sigma, perspective_sigma

THRESHOLD = 25  # of 255
WEIGHTS = (0.2, 0.5, 0.8)
FACTORS = (0.8, 0.6, 0.4)
PEOPLE_SAMPLED = 4  # an image, for across_edges
PART_A_STEP = 30  # every so many images of Part A


class Row(NamedTuple):
    data: str
    method: str
    images: int
    people: int
    sum: float
    outside: float | None
    on_people: float | None
    across_edges: float
    spread: float
    ms: float


class Method(NamedTuple):
    name: str
    options: Callable[[CrowdSample], dict[str, Any]]
    narrower: float = 1.0  # factor of the widths


def methods(with_roi: bool) -> Iterator[Method]:
    yield Method("plain", lambda sample: {})
    if with_roi:
        yield Method("plain, then masked", lambda sample: {"roi": sample.roi, "boundary": "clip"})
        yield Method("conserve in the region", lambda sample: {"roi": sample.roi})
        yield Method("geodesic, weight 0", lambda sample: {"roi": sample.roi, "geodesic_weight": 0.0})
    for factor in FACTORS:
        yield Method(f"plain, widths x {factor}", lambda sample: {"roi": sample.roi}, factor)
    for weight in WEIGHTS:
        yield Method(
            f"geodesic, weight {weight}",
            lambda sample, weight=weight: {
                "roi": sample.roi,
                "image": np.ascontiguousarray(sample.image.transpose(2, 0, 1)),
                "geodesic_weight": weight,
            },
        )


def measure(
    name: str,
    samples: Sequence[CrowdSample],
    sigmas: Sequence[torch.Tensor],
    moving: Sequence[np.ndarray] | None,
) -> Iterator[Row]:
    edges = [strong_edges(sample.image) for sample in samples]
    people = sum(len(sample.points) for sample in samples)
    for method in methods(samples[0].roi is not None):
        total = outside = on_people = seconds = 0.0
        across: list[float] = []
        spread: list[float] = []
        for index, (sample, whole_sigma) in enumerate(zip(samples, sigmas, strict=True)):
            sigma = whole_sigma * method.narrower
            options, shape = method.options(sample), sample.image.shape[:2]
            times = []
            for _ in range(3):
                start = time.perf_counter()
                density = density_map(sample.points, shape, sigma, **options).numpy()
                times.append(time.perf_counter() - start)
            seconds += min(times)
            total += float(density.sum(dtype=np.float64))
            if sample.roi is not None:
                outside += float(density[~sample.roi].sum(dtype=np.float64))
            if moving is not None:
                on_people += float(density[moving[index]].sum(dtype=np.float64))
            for person in np.linspace(0, len(sample.points) - 1, PEOPLE_SAMPLED).astype(int):
                alone = density_map(
                    sample.points[person : person + 1], shape, sigma[person : person + 1], **options
                ).numpy()
                across.append(share_across(alone, sample.points[person], edges[index]))
                spread.append(spread_of(alone, sample.points[person]) / float(whole_sigma[person]))
        yield Row(
            name,
            method.name,
            len(samples),
            people,
            total,
            None if samples[0].roi is None else outside / people,
            None if moving is None else on_people / total,
            float(np.mean(across)),
            float(np.mean(spread)),
            1000 * seconds / len(samples),
        )


def strong_edges(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: the 5 % of pixels with the largest gradient."""
    gray = gaussian_filter(image.mean(axis=2), 1.0)
    gradient = np.hypot(sobel(gray, 0), sobel(gray, 1))
    return np.asarray(gradient > np.percentile(gradient, 95))


def share_across(density: np.ndarray, person: np.ndarray, edges: np.ndarray) -> float:
    """Share of the mass at pixels that a strong edge separates from the person, along the straight line."""
    rows, columns = np.nonzero(density > 1e-4 * density.max())
    x, y = np.floor(person)
    steps = int(max(np.abs(rows - y).max(), np.abs(columns - x).max())) + 1
    along = np.linspace(0, 1, steps + 1)[1:-1, None] if steps > 1 else np.zeros((0, 1))
    crossed = edges[
        np.rint(y + along * (rows - y)).astype(int), np.rint(x + along * (columns - x)).astype(int)
    ]
    mass = density[rows, columns]
    return float(mass[crossed.any(axis=0)].sum() / mass.sum())


def spread_of(density: np.ndarray, person: np.ndarray) -> float:
    """Root mean square distance of the mass from the person's pixel along an axis, in pixels."""
    rows, columns = np.nonzero(density)
    x, y = np.floor(person)
    mass = density[rows, columns].astype(np.float64)
    return float(np.sqrt((mass * ((rows - y) ** 2 + (columns - x) ** 2)).sum() / mass.sum() / 2))


def moving_pixels(samples: Sequence[CrowdSample]) -> list[np.ndarray]:
    """What a fixed camera did not see in most frames, near annotated people: (H, W) bool each."""
    background = np.median([sample.image for sample in samples], axis=0)
    masks = []
    for sample in samples:
        changed = (np.abs(sample.image - background) > THRESHOLD).any(axis=2)
        near = np.zeros(changed.shape, bool)
        assert sample.perspective is not None
        for x, y in sample.points.astype(int):
            reach = int(1.5 * sample.perspective[y, x])
            near[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
        masks.append(changed & near)
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with mall and shanghaitech")
    parser.add_argument("table", type=Path, help="CSV to write")
    arguments = parser.parse_args()
    mall = Mall(arguments.data / "mall")
    frames = [mall[index] for index in range(len(mall))]
    assert mall.perspective is not None
    widths = [perspective_sigma(frame.points, mall.perspective) for frame in frames]
    rows = list(measure("mall", frames, widths, moving_pixels(frames)))
    part_a = ShanghaiTech(arguments.data / "shanghaitech", part="A")
    crowds = [part_a[index] for index in range(0, len(part_a), PART_A_STEP)]
    widths = [geometry_adaptive_sigma(crowd.points) for crowd in crowds]
    rows += measure(f"part A, every {PART_A_STEP}th", crowds, widths, None)
    with arguments.table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows:
            values = [f"{value:.4f}" if isinstance(value, float) else value for value in row]
            writer.writerow(values)
            print(*values, sep="\t")


if __name__ == "__main__":
    main()
