"""Figures of a report: arrays in, one PNG file out. Matplotlib is imported with the first figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skt_crowd.errors import UsageError
from skt_crowd.evaluation import mean_absolute_error, root_mean_squared_error
from skt_crowd.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSITY_COLOURS = "inferno"
FEATURE_COLOURS = "viridis"
PANEL_WIDTH = 3.6  # inches
DOTS_PER_INCH = 110
INK = "#222222"
LINES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)  # can be told apart with any colour vision


@dataclass(frozen=True)
class Comparison:
    """One row of ``save_comparison``: an image and the density maps made of it, in people per cell."""

    name: str
    image: np.ndarray  # (H, W, 3) uint8 RGB
    people: int  # annotated points
    maps: Mapping[str, np.ndarray]  # title -> (h, w); each covers the whole image


def save_comparison(path: Path, rows: Sequence[Comparison]) -> None:
    """Image, hard, soft and predicted maps side by side, each with its count (Fig. 2 of the paper).

    The maps of one row share a colour scale, cut at the 99.8th percentile of the row, so that brightness
    can be compared.

    Raises:
        UsageError: no rows, or rows with different maps.
        SktError: the file cannot be written.
    """
    if not rows:
        raise UsageError("rows: expected at least one comparison, got none")
    titles = list(rows[0].maps)
    if any(list(row.maps) != titles for row in rows):
        raise UsageError(f"rows: expected the maps {', '.join(titles)} in every row")
    shapes = [_panel_shape(row.image) for row in rows]
    figure = _figure(
        PANEL_WIDTH * (1 + len(titles)) + 0.9, sum(PANEL_WIDTH * shape + 0.45 for shape in shapes)
    )
    grid = figure.subplots(len(rows), 1 + len(titles), squeeze=False, height_ratios=shapes)
    for axes, row in zip(grid, rows, strict=True):
        height, width = row.image.shape[:2]
        scale = max(float(np.percentile(np.concatenate([m.ravel() for m in row.maps.values()]), 99.8)), 1e-6)
        axes[0].imshow(row.image)
        axes[0].set_title(f"{row.name}: {row.people:,} annotated")
        for axis, (title, density) in zip(axes[1:], row.maps.items(), strict=True):
            drawn = axis.imshow(
                density,
                cmap=DENSITY_COLOURS,
                vmin=0.0,
                vmax=scale,
                interpolation="nearest",
                extent=(0, width, height, 0),
            )
            axis.set_title(f"{title}: {density.sum(dtype=np.float64):,.1f}")
        for axis in axes:
            axis.set_axis_off()
        bar = figure.colorbar(drawn, ax=axes[-1], fraction=0.05, pad=0.02, shrink=0.94, extend="max")
        bar.set_label("people per cell")
    _save(path, figure)


def save_count_scatter(path: Path, predicted: Sequence[float], actual: Sequence[float], title: str) -> None:
    """Predicted against annotated counts, one dot per image, with the diagonal of a perfect model, MAE and RMSE.

    Raises:
        UsageError: no images, or lists of different lengths.
        SktError: the file cannot be written.
    """
    mae, rmse = mean_absolute_error(predicted, actual), root_mean_squared_error(predicted, actual)
    figure = _figure(5.2, 5.2)
    axis = figure.subplots()
    top = 1.06 * max(1.0, *predicted, *actual)
    axis.plot([0, top], [0, top], color="#999999", linewidth=1, linestyle="--")
    axis.scatter(actual, predicted, s=26, color=LINES[0], alpha=0.7, edgecolors="white", linewidths=0.6)
    axis.set(xlim=(0, top), ylim=(min(0.0, *predicted), top), aspect="equal")
    axis.set(xlabel="annotated people", ylabel="predicted people")
    axis.set_title(title)
    axis.annotate(
        f"{len(predicted)} images\nMAE {mae:.2f}\nRMSE {rmse:.2f}",
        xy=(0.04, 0.96),
        xycoords="axes fraction",
        verticalalignment="top",
    )
    _lighten(axis)
    _save(path, figure)


def save_loss_curves(path: Path, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Loss terms over time on a logarithmic axis: single values pale, their running mean dark.

    Args:
        path: the PNG file.
        curves: name -> (steps, values), in the order of the legend. Terms that are never positive (switched
            off) are left out; single values that are not positive leave a gap.

    Raises:
        UsageError: no term with a positive value, or steps and values of different lengths.
        SktError: the file cannot be written.
    """
    figure = _figure(7.2, 4.2)
    axis = figure.subplots()
    for name, (steps, values) in curves.items():
        if len(steps) != len(values):
            raise UsageError(f"curves: {name!r} has {len(steps)} steps and {len(values)} values")
        heights = np.asarray(values, dtype=np.float64)
        heights = np.where(heights > 0, heights, np.nan)
        if np.isfinite(heights).any():
            colour = LINES[len(axis.get_legend_handles_labels()[1]) % len(LINES)]
            axis.plot(steps, heights, color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(steps, _running_mean(heights), color=colour, linewidth=1.8, label=name)
    if not axis.get_legend_handles_labels()[1]:
        raise UsageError("curves: expected at least one positive loss, got none")
    axis.set_yscale("log")
    axis.set(xlabel="step", ylabel="loss")
    axis.margins(x=0.01)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _lighten(axis)
    _save(path, figure)


def save_feature_means(
    path: Path, image: np.ndarray, levels: Sequence[str], models: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Features averaged over channels, one row per model, one column per level (Fig. 3 of the paper).

    Each panel has its own colour scale, because widths and magnitudes differ from model to model; ``r`` is
    the correlation of its pixels with those of the first model's panel above it.

    Args:
        path: the PNG file.
        image: ``(H, W, 3)`` uint8 RGB.
        levels: titles of the columns, for example ``("conv3_1", "conv4_1", "conv5_1")``.
        models: title of the row -> one ``(C, h, w)`` feature for each level; the teacher first.

    Raises:
        UsageError: no model, or a model without exactly one feature for each level.
        SktError: the file cannot be written.
    """
    if not models or not levels:
        raise UsageError("models: expected at least one model and one level")
    for name, features in models.items():
        if len(features) != len(levels) or any(feature.ndim != 3 for feature in features):
            raise UsageError(f"models: expected {len(levels)} features (C, h, w) of {name!r}")
    height, width = image.shape[:2]
    row_height = PANEL_WIDTH * _panel_shape(image) + 0.45
    figure = _figure(PANEL_WIDTH * (1 + len(levels)), len(models) * row_height)
    grid = figure.add_gridspec(len(models), 1 + len(levels))
    photograph = figure.add_subplot(grid[:, 0])
    photograph.imshow(image)
    photograph.set_title("image")
    photograph.set_axis_off()
    reference = [feature.mean(axis=0, dtype=np.float64) for feature in next(iter(models.values()))]
    for row, (name, features) in enumerate(models.items()):
        for column, (level, feature) in enumerate(zip(levels, features, strict=True)):
            axis = figure.add_subplot(grid[row, 1 + column])
            mean = feature.mean(axis=0, dtype=np.float64)  # (h, w)
            axis.imshow(mean, cmap=FEATURE_COLOURS, interpolation="nearest", extent=(0, width, height, 0))
            agreement = "" if row == 0 else f", r = {_correlation(mean, reference[column]):.2f}"
            axis.set_title(f"{name}, {level}{agreement}")
            axis.set_axis_off()
    _save(path, figure)


def _panel_shape(image: np.ndarray) -> float:
    """Height of a panel over its width: the image's, kept where a page can hold it."""
    return float(np.clip(image.shape[0] / image.shape[1], 0.25, 2.0))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r of two maps of one size; 0 where one of them is constant."""
    left, right = first - first.mean(), second - second.mean()
    norm = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float((left * right).sum()) / norm if norm > 0 else 0.0


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the finite values in a window of a twentieth of the curve around each position."""
    reach = max(1, len(values) // 40)
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    start = np.clip(np.arange(len(values)) - reach, 0, None)
    stop = np.clip(np.arange(len(values)) + reach + 1, None, len(values))
    inside = counts[stop] - counts[start]
    return np.where(inside > 0, (sums[stop] - sums[start]) / np.maximum(inside, 1), np.nan)


def _figure(width: float, height: float) -> "Figure":
    """A figure outside pyplot: nothing global, no window system, safe in threads."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")


def _lighten(axis: "Axes") -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(colors=INK)


def _save(path: Path, figure: "Figure") -> None:
    atomic_write(path, lambda stream: figure.savefig(stream, format="png"))
