"""Draw the figures of docs/density.md, from synthetic scenes only.

python tools/draw_density_figures.py docs/images
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skt_crowd.data import render_crowd
from skt_ext.density import density_map, geometry_adaptive_sigma, head_and_body, nearest_neighbor_sigma

COLOURS = "inferno"
WALL = (0.35, 0.6, 0.95)
INK = "#222222"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (draw_wall, draw_border, draw_outlines, draw_sigma_rules):
        name = draw.__name__.removeprefix("draw_")
        figure = draw()
        figure.savefig(folder / f"density_{name}.png", dpi=110, metadata={"Software": None})


def draw_wall() -> Figure:
    """Two people beside a wall with a gap: straight distances, the same inside the walls, and around them."""
    floor = torch.ones(90, 120, dtype=torch.bool)
    floor[:, 58:61] = False
    floor[62:72, 58:61] = True
    people = torch.tensor([[49.5, 24.5], [50.5, 58.5]])
    sigma = 11.0
    maps = {
        "plain": density_map(people, (90, 120), sigma),
        "plain, cut to the floor": density_map(people, (90, 120), sigma, roi=floor),
        "geodesic": density_map(people, (90, 120), sigma, roi=floor, geodesic_weight=0.0),
    }
    return _compare(maps, people, floor, beyond=slice(61, None))


def draw_border() -> Figure:
    """People in the corner of a region: what the boundary rules and the geodesic distance do there."""
    region = torch.ones(90, 120, dtype=torch.bool)
    region[:48, 62:] = False
    people = torch.tensor([[55.5, 20.5], [84.5, 54.5], [6.5, 80.5]])
    sigma = 10.0
    maps = {
        "clip": density_map(people, (90, 120), sigma, roi=region, boundary="clip"),
        "conserve": density_map(people, (90, 120), sigma, roi=region),
        "conserve, geodesic": density_map(people, (90, 120), sigma, roi=region, geodesic_weight=0.0),
    }
    return _compare(maps, people, region)


def draw_outlines() -> Figure:
    """A synthetic crowd: plain and geodesic kernels of the same sigma."""
    sample = render_crowd(11, (150, 200), people=24)
    sigma = geometry_adaptive_sigma(sample.points, maximum=12.0)
    image = sample.image.transpose(2, 0, 1)
    maps = {"plain": density_map(sample.points, (150, 200), sigma)}
    for weight in (0.3, 0.7):
        maps[f"geodesic, weight {weight}"] = density_map(
            sample.points, (150, 200), sigma, image=image, geodesic_weight=weight
        )
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    axes[0].imshow(sample.image)
    axes[0].plot(*sample.points.T, ".", color="#ff3b30", markersize=4)
    _title(axes[0], f"synthetic crowd, {len(sample.points)} people")
    for axis, (name, density) in zip(axes[1:], maps.items(), strict=True):
        _show(axis, density)
        _title(axis, f"{name}: sum {density.sum():.2f}")
    return figure


def draw_sigma_rules() -> Figure:
    """The rules for sigma on one synthetic crowd."""
    size = (150, 200)
    sample = render_crowd(4, size, people=40)
    rows = np.arange(size[0])[:, None]
    perspective = np.broadcast_to(6 + 0.11 * rows, size).copy()  # pixels a metre
    parts, part_sigma = head_and_body(sample.points, perspective)
    rules = {
        "fixed, 4 pixels": (sample.points, 4.0),
        "0.3 x mean of 3 neighbours": (sample.points, geometry_adaptive_sigma(sample.points)),
        "nearest neighbour, at most 8": (sample.points, nearest_neighbor_sigma(sample.points, maximum=8.0)),
        "head and body by perspective": (parts, part_sigma),
    }
    figure = Figure(figsize=(13, 2.35), layout="constrained")
    axes = figure.subplots(1, 5)
    axes[0].imshow(sample.image)
    _title(axes[0], f"synthetic crowd, {len(sample.points)} people")
    for axis, (name, (points, sigma)) in zip(axes[1:], rules.items(), strict=True):
        _show(axis, density_map(points, size, sigma))
        _title(axis, name)
    return figure


def _compare(
    maps: Mapping[str, torch.Tensor], people: torch.Tensor, region: torch.Tensor, beyond: slice | None = None
) -> Figure:
    """Panels of one colour scale, what is outside the region in blue, with their sums."""
    figure = Figure(figsize=(11, 2.95), layout="constrained")
    top = max(float(density.max()) for density in maps.values())
    outside = np.zeros((*region.shape, 4))
    outside[~region.numpy()] = (*WALL, 0.75)
    for axis, (name, density) in zip(figure.subplots(1, len(maps)), maps.items(), strict=True):
        _show(axis, density, top)
        axis.imshow(outside, interpolation="nearest")
        axis.plot(*people.T.numpy(), "+", color="white", markersize=7)
        facts = f"sum {density.sum():.2f}"
        if beyond is not None:
            facts += f", behind the wall {density[:, beyond].sum():.2f}"
        else:
            facts += f" of {len(people)}"
        _title(axis, f"{name}: {facts}")
    return figure


def _show(axis: Axes, density: torch.Tensor, top: float | None = None) -> None:
    full = top if top is not None else float(np.percentile(density[density > 0], 99.5))
    axis.imshow((density / full).clamp(0, 1).sqrt(), cmap=COLOURS, vmin=0, vmax=1)


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, fontsize=9.5, color=INK)
    axis.set_axis_off()


if __name__ == "__main__":
    main()
