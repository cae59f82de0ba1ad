"""Drawings of single people for the synthetic crowds: shape, materials and relief, without colours or light.

A figure is drawn once, large, for each pose, and then reduced by area averaging to the height that the
perspective asks for. Lengths are in units of the figure's height; x runs from its axis, y from its top.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

POSES = 20
MATERIALS = ("legs", "clothes", "skin", "hair", "bag")

HEAD_Y = 0.088  # centre of the head, which is the annotated point
_HALF_WIDTH = 0.3
_ROWS = 150
_COLUMNS = int(2 * _HALF_WIDTH * _ROWS)

# Heights are rounded to steps of 6 %, so that reduced figures can be kept.
_STEP = np.log(1.06)


class Figure(NamedTuple):
    """A person at one size. Sums of `cover` over materials are the opacity."""

    cover: np.ndarray  # (5, h, w) float32, share of each pixel that each material covers
    opacity: np.ndarray  # (h, w) float32
    relief: np.ndarray  # (2, h, w) float32, the surface normal's x and y, times the opacity
    head: tuple[float, float]  # x, y of the head's centre, pixels from the top left corner of the drawing


@lru_cache(maxsize=1024)
def figure(pose: int, step: int) -> Figure:
    """Pose `pose` (0 to POSES - 1) at the height ``figure_height(step)``."""
    cover, relief, head_x = _large_figure(pose)
    height = figure_height(step)
    scale = _ROWS / height  # large pixels for each small one
    rows, columns = int(np.ceil(height)) + 1, int(np.ceil(2 * _HALF_WIDTH * height)) + 1
    down = _area_weights(rows, _ROWS, scale)
    across = _area_weights(columns, _COLUMNS, scale)
    small_cover, small_relief = (_reduce(layers, down, across) for layers in (cover, relief))
    used = np.flatnonzero(small_cover.any(axis=(0, 1)))  # columns; trimming saves a third of the painting
    left, right = used[0], used[-1] + 1
    small_cover = np.ascontiguousarray(small_cover[:, :, left:right])
    small_relief = np.ascontiguousarray(small_relief[:, :, left:right])
    head = ((head_x + _HALF_WIDTH) * height - float(left), HEAD_Y * height)
    return Figure(small_cover, small_cover.sum(axis=0), small_relief, head)


def height_step(height: float) -> int:
    """The step whose figures are nearest to a height in pixels."""
    return round(float(np.log(height) / _STEP))


def figure_height(step: int) -> float:
    return float(np.exp(step * _STEP))


def _reduce(layers: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Layers (K, _ROWS, _COLUMNS) averaged to (K, rows, columns), as two plain matrix products."""
    count, rows, columns = len(layers), len(down), len(across)
    narrow = layers.reshape(-1, _COLUMNS) @ across.T  # (K * _ROWS, columns)
    beside = narrow.reshape(count, _ROWS, columns).transpose(1, 0, 2).reshape(_ROWS, -1)
    small = (down @ beside).reshape(rows, count, columns)
    return np.ascontiguousarray(small.transpose(1, 0, 2))


def _area_weights(small: int, large: int, scale: float) -> np.ndarray:
    """(small, large): the share of small pixel i that large pixel j covers; i spans `scale` large pixels."""
    first = np.arange(small)[:, None] * scale
    j = np.arange(large)[None, :]
    overlap = np.minimum(first + scale, j + 1) - np.maximum(first, j)
    return np.asarray(np.clip(overlap, 0, None) / scale, np.float32)


@lru_cache(maxsize=POSES)
def _large_figure(pose: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Cover (5, _ROWS, _COLUMNS), relief (2, _ROWS, _COLUMNS), and x of the head's centre."""
    rng = np.random.default_rng((pose, 20200521))
    drawing = _Drawing()
    facing = ("back", "front", "side", "front", "back")[pose % 5]
    lean = rng.uniform(-0.025, 0.025)
    build = rng.uniform(0.88, 1.18)
    shoulder = (0.105 if facing == "side" else 0.135) * build
    hip = (0.075 if facing == "side" else 0.09) * build
    step = rng.uniform(0.01, 0.10 if facing == "side" else 0.04)

    skirt = pose % 7 == 3
    leg = 0.052 * build
    for side in (-1, 1):
        foot = side * (0.042 + step * rng.uniform(0.4, 1.0))
        drawing.limb("legs", (side * 0.045, 0.55), (foot, 0.95), leg * 1.15, leg * 0.75)
        drawing.limb("bag", (foot, 0.965), (foot + 0.03 * (facing == "side"), 0.975), 0.032, 0.028)
    if skirt:
        drawing.limb("clothes", (lean, 0.5), (lean, 0.72), hip, hip * 1.35)

    swing = rng.uniform(-0.05, 0.07, size=2)
    raised = pose % 9 == 4
    sleeve = rng.choice(["clothes", "skin"])
    for side, forward in zip((-1, 1), swing, strict=True):
        top = (lean + side * shoulder * 0.95, 0.24)
        elbow = (lean + side * (shoulder + 0.03) + forward * 0.4, 0.38)
        hand = (lean + side * (shoulder + 0.01) + forward, 0.53)
        if raised and side == 1:
            elbow, hand = (lean + shoulder + 0.07, 0.17), (lean + shoulder + 0.04, 0.05)
        drawing.limb("clothes", top, elbow, 0.042 * build, 0.037 * build)
        drawing.limb(str(sleeve), elbow, hand, 0.034 * build, 0.027)
        drawing.limb("skin", hand, hand, 0.026, 0.026)

    head_x = lean * 1.6 + (0.02 if facing == "side" else 0.0)
    long_hair = pose % 3 == 1
    if long_hair and facing != "back":  # it falls behind the shoulders
        behind = head_x - 0.03 * (facing == "side")
        drawing.limb("hair", (behind, 0.09), (behind, 0.20), 0.076, 0.085)
    drawing.limb("clothes", (lean, 0.50), (lean * 0.5, 0.56), hip, hip)
    drawing.limb("clothes", (lean, 0.265), (lean, 0.50), shoulder, hip * 1.05)
    for side in (-1, 1):
        drawing.limb("clothes", (lean, 0.21), (lean + side * shoulder * 0.8, 0.235), 0.05, 0.048)
    if pose % 4 == 1:
        _draw_bag(drawing, facing, lean, shoulder)

    _draw_head(drawing, facing, head_x, lean, long_hair=long_hair)
    relief = drawing.relief * drawing.cover.sum(axis=0)
    return drawing.cover.astype(np.float32), relief.astype(np.float32), head_x


def _draw_bag(drawing: "_Drawing", facing: str, lean: float, shoulder: float) -> None:
    if facing == "back":
        drawing.limb("bag", (lean, 0.28), (lean, 0.42), shoulder * 0.75, shoulder * 0.7)
    elif facing == "front":
        drawing.limb("bag", (lean - shoulder * 0.7, 0.22), (lean + shoulder * 0.8, 0.48), 0.012, 0.012)
        drawing.limb("bag", (lean + shoulder, 0.50), (lean + shoulder, 0.56), 0.05, 0.055)
    else:
        drawing.limb("bag", (lean - shoulder * 1.1, 0.28), (lean - shoulder * 1.1, 0.41), 0.06, 0.065)


def _draw_head(drawing: "_Drawing", facing: str, x: float, lean: float, *, long_hair: bool) -> None:
    drawing.limb("skin", (lean, 0.21), (x, 0.14), 0.04, 0.036)
    drawing.ellipse("skin", (x, HEAD_Y + 0.004), (0.064, 0.082))
    if facing == "back":
        drawing.ellipse("hair", (x, HEAD_Y - 0.004), (0.070, 0.082))
        if long_hair:
            drawing.limb("hair", (x, 0.09), (x, 0.19), 0.07, 0.06)
    elif facing == "side":
        drawing.ellipse("hair", (x - 0.018, HEAD_Y - 0.018), (0.062, 0.068))
    else:
        drawing.ellipse("hair", (x, HEAD_Y - 0.040), (0.069, 0.046))


class _Drawing:
    """Materials and relief of rounded parts, each painted over the earlier ones with soft edges."""

    def __init__(self) -> None:
        pixel = 1.0 / _ROWS
        self._x = ((np.arange(_COLUMNS) + 0.5) * pixel - _HALF_WIDTH)[None, :]
        self._y = ((np.arange(_ROWS) + 0.5) * pixel)[:, None]
        self.cover = np.zeros((len(MATERIALS), _ROWS, _COLUMNS))
        self.relief = np.zeros((2, _ROWS, _COLUMNS))

    def limb(
        self, material: str, start: tuple[float, float], end: tuple[float, float], first: float, last: float
    ) -> None:
        """A rounded bar from `start` to `end` whose radius goes from `first` to `last`."""
        along = np.array(end) - start
        length = float(along @ along) or 1.0
        place = np.clip(((self._x - start[0]) * along[0] + (self._y - start[1]) * along[1]) / length, 0, 1)
        radius = first + (last - first) * place
        dx, dy = self._x - start[0] - place * along[0], self._y - start[1] - place * along[1]
        self._paint(material, dx / radius, dy / radius, radius, across=_perpendicular(along))

    def ellipse(self, material: str, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        dx, dy = (self._x - centre[0]) / radii[0], (self._y - centre[1]) / radii[1]
        self._paint(material, dx, dy, np.full_like(dx * dy, min(radii)), across=np.eye(2))

    def _paint(
        self, material: str, nx: np.ndarray, ny: np.ndarray, radius: np.ndarray, *, across: np.ndarray
    ) -> None:
        """Paint where (nx, ny), the position in radii, is shorter than one. Its projection is the normal."""
        from_edge = (1.0 - np.hypot(nx, ny)) * radius * _ROWS  # pixels, positive inside
        alpha = np.clip(from_edge + 0.5, 0, 1)
        self.cover *= 1 - alpha
        self.cover[MATERIALS.index(material)] += alpha
        normal = np.tensordot(across, np.stack(np.broadcast_arrays(nx, ny)), axes=1)
        self.relief += alpha * (np.clip(normal, -1, 1) - self.relief)


def _perpendicular(along: np.ndarray) -> np.ndarray:
    """(2, 2): projection across a bar's axis, so that its rounded ends are not shaded like balls."""
    length = float(along @ along)
    return np.eye(2) - np.outer(along, along) / length if length else np.eye(2)
