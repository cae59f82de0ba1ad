"""What is around the people of a synthetic crowd: ground, background, and things that are not people.

A canvas is (3, H, W) float32 with values around 0 to 1, painted in place; colour first, so that NumPy's inner
loops run along rows. Coordinates are pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Camera(NamedTuple):
    """A camera looking down on flat ground: heights in the image grow linearly from the horizon downwards."""

    height: int  # H of the image
    width: int  # W of the image
    horizon: float  # row at which the ground ends, may be above the image
    near: float  # pixels of a standing person whose feet are on the lowest row

    def person(self, ground_y: np.ndarray | float) -> np.ndarray | float:
        """The height in pixels of someone who stands on row `ground_y`."""
        return self.near * (ground_y - self.horizon) / (self.height - self.horizon)


class Light(NamedTuple):
    direction: np.ndarray  # (2,) towards the light in the image plane, [x, y], y < 0: from above
    strength: float  # 0 overcast to 1 bright sun


class Thing(NamedTuple):
    """A distractor standing on row `ground_y`, and the box [left, top, right, bottom] it hides."""

    ground_y: float
    box: tuple[float, float, float, float]
    paint: Callable[[np.ndarray], None]


_GROUNDS = np.array(
    [
        [0.44, 0.44, 0.46],  # asphalt
        [0.62, 0.58, 0.53],  # paving
        [0.55, 0.50, 0.46],  # bricks
        [0.36, 0.46, 0.25],  # grass
        [0.68, 0.60, 0.46],  # sand
    ]
)
_PAVED = (False, True, True, False, False)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """(height, width) float32: random values on a grid of cells x cells, linear in between; mean 0."""
    grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    rows = _interpolation(height, cells)
    columns = _interpolation(width, cells)
    return np.asarray(rows @ grid @ columns.T)


def _interpolation(size: int, cells: int) -> np.ndarray:
    """(size, cells + 1): linear interpolation of cells + 1 evenly spaced values at `size` pixels."""
    place = (np.arange(size) + 0.5) / size * cells
    distance = np.abs(place[:, None] - np.arange(cells + 1)[None, :])
    return np.asarray(np.clip(1 - distance, 0, 1), np.float32)


def paint_ground(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """A new canvas (3, H, W) with ground below the horizon and a background above it."""
    height, width = camera.height, camera.width
    kind = int(rng.integers(len(_GROUNDS)))
    tone = 1 + 0.10 * smooth_noise(rng, height, width, 4) + 0.05 * smooth_noise(rng, height, width, 17)
    grain = 0.09 if kind == 3 else 0.035
    tone += grain * rng.standard_normal((height, width), dtype=np.float32)
    if _PAVED[kind]:
        tone *= _paving(rng, camera)
    colour = _GROUNDS[kind] * rng.uniform(0.75, 1.15) + rng.normal(0, 0.02, 3)
    canvas = np.asarray(tone * colour[:, None, None], np.float32)
    if rng.random() < 0.35:
        _paint_markings(rng, canvas, camera)
    top = int(np.clip(camera.horizon, 0, height))
    if top > 0:
        canvas[:, :top] = _background(rng, top, width)
    return canvas


def _ground_coordinates(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Across (H, W) and away (H, 1) from the camera, in heights of a person."""
    rows = np.arange(camera.height, dtype=np.float32)[:, None] + 0.5
    person = np.maximum(np.asarray(camera.person(rows)), 1.0)
    columns = np.arange(camera.width, dtype=np.float32)[None, :] + 0.5 - camera.width / 2
    return columns / person, camera.near * 4 / person


def _paving(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """Factors (H, W) that darken the joints between slabs."""
    across, away = _ground_coordinates(camera)
    angle = rng.uniform(-0.5, 0.5)
    slabs = rng.uniform(0.8, 2.0)
    u = (across * np.cos(angle) + away * np.sin(angle)) * slabs
    v = (away * np.cos(angle) - across * np.sin(angle)) * slabs
    joints = np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    slab_tone = np.sin(np.floor(u) * 12.9898 + np.floor(v) * 78.233) * 0.05
    return np.asarray(1 + slab_tone - 0.22 * np.clip((joints - 0.44) * 25, 0, 1), np.float32)


def _paint_markings(rng: np.random.Generator, canvas: np.ndarray, camera: Camera) -> None:
    """Painted stripes across the ground, as on a crossing or a playing field."""
    across, away = _ground_coordinates(camera)
    angle = rng.uniform(-0.9, 0.9)
    stripe = (across * np.cos(angle) + away * np.sin(angle)) * rng.uniform(0.3, 0.8) + rng.random()
    band = np.abs(away - rng.uniform(3, 6)) < rng.uniform(0.4, 1.5)
    painted = ((stripe % 1) < 0.45) & (band | (rng.random() < 0.2))
    canvas += (0.55 * painted).astype(np.float32) * (0.85 - canvas)


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sky, a facade with windows, or a row of trees, (3, height, width)."""
    kind = rng.integers(3)
    if kind == 0:
        fade = np.linspace(0.55, 0.9, height)[:, None]
        return np.array([0.85, 0.95, 1.1])[:, None, None] * np.broadcast_to(fade, (height, width))
    if kind == 1:
        wall = np.array([0.6, 0.52, 0.45])[:, None, None] * rng.uniform(0.6, 1.3)
        y, x = np.arange(height)[:, None], np.arange(width)[None, :]
        window = ((x + rng.integers(20)) % 13 < 7) & ((y + rng.integers(20)) % 11 < 6)
        return np.where(window, wall * 0.45, wall)
    leaves = 0.3 + 0.1 * smooth_noise(rng, height, width, 24)
    leaves += 0.05 * rng.standard_normal((height, width), dtype=np.float32)
    return np.asarray(leaves * np.array([0.75, 1.05, 0.5])[:, None, None])


def place_things(rng: np.random.Generator, camera: Camera, light: Light) -> list[Thing]:
    """A few distractors at random places: lamp posts, signs, trees, bollards, cones, bins, balloons."""
    makers = (_lamp_post, _sign, _tree, _bollard, _cone, _bin, _balloon)
    things = []
    for _ in range(rng.integers(1, 7)):
        lowest = max(camera.horizon, 0) + 0.15 * (camera.height - max(camera.horizon, 0))
        y = float(rng.uniform(lowest, camera.height * 1.02))
        x = float(rng.uniform(0, camera.width))
        maker = makers[rng.integers(len(makers))]
        things.append(maker(rng, x, y, float(camera.person(y)), light))
    return things


def _lamp_post(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    gray = np.full(3, rng.uniform(0.12, 0.35))
    top = y - size * rng.uniform(1.7, 2.4)
    arm = size * rng.uniform(-0.4, 0.4)

    def paint(canvas: np.ndarray) -> None:
        paint_bar(canvas, (x, y), (x, top), 0.028 * size, gray, light)
        paint_bar(canvas, (x, top), (x + arm, top), 0.02 * size, gray, light)
        paint_bar(canvas, (x + arm, top), (x + arm, top), 0.06 * size, np.full(3, 0.85), light)

    return Thing(y, (x - 0.04 * size, top, x + 0.04 * size, y), paint)


def _sign(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    colour = rng.permutation([rng.uniform(0.5, 0.9), 0.15, 0.15])
    top = y - size * rng.uniform(1.15, 1.5)
    radius = 0.13 * size

    def paint(canvas: np.ndarray) -> None:
        paint_bar(canvas, (x, y), (x, top), 0.022 * size, np.full(3, 0.5), light)
        paint_bar(canvas, (x, top), (x, top), radius, colour, light, flat=True)
        bar = (x - 0.5 * radius, top), (x + 0.5 * radius, top)
        paint_bar(canvas, *bar, 0.2 * radius, np.full(3, 0.9), light)

    return Thing(y, (x - radius, top - radius, x + radius, top + radius), paint)


def _tree(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    green = np.array([0.22, 0.36, 0.13]) * rng.uniform(0.7, 1.3)
    crown, top = 0.42 * size, y - 1.7 * size
    offsets = np.clip(rng.normal(0, 0.42, (26, 2)), -0.75, 0.75) * crown
    offsets = offsets[np.argsort(-offsets[:, 1])]  # the lit top last
    radii = rng.uniform(0.16, 0.34, len(offsets)) * crown
    tones = rng.uniform(0.75, 1.1, len(offsets)) - 0.3 * offsets[:, 1] / crown

    def paint(canvas: np.ndarray) -> None:
        paint_bar(canvas, (x, y), (x, top), 0.06 * size, np.array([0.25, 0.18, 0.12]), light)
        for (dx, dy), radius, tone in zip(offsets, radii, tones, strict=True):
            paint_bar(canvas, (x + dx, top + dy), (x + dx, top + dy), radius, green * tone, light)

    return Thing(y, (x - 1.1 * crown, top - 1.1 * crown, x + 1.1 * crown, top + 1.1 * crown), paint)


def _bollard(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    colour = np.full(3, rng.uniform(0.1, 0.6))

    def paint(canvas: np.ndarray) -> None:
        paint_bar(canvas, (x, y), (x, y - 0.42 * size), 0.06 * size, colour, light)
        paint_bar(canvas, (x, y - 0.44 * size), (x, y - 0.44 * size), 0.075 * size, colour * 1.2, light)

    return Thing(y, (x - 0.08 * size, y - 0.5 * size, x + 0.08 * size, y), paint)


def _cone(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    orange = np.array([0.9, 0.35, 0.1]) * rng.uniform(0.8, 1.1)

    def paint(canvas: np.ndarray) -> None:
        for part, radius, colour in (
            (0.0, 0.12, orange),
            (0.12, 0.085, np.full(3, 0.9)),
            (0.24, 0.05, orange),
        ):
            paint_bar(
                canvas, (x, y - part * size), (x, y - (part + 0.1) * size), radius * size, colour, light
            )

    return Thing(y, (x - 0.12 * size, y - 0.4 * size, x + 0.12 * size, y), paint)


def _bin(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    colour = np.array([0.15, 0.3, 0.22]) * rng.uniform(0.6, 1.6)

    def paint(canvas: np.ndarray) -> None:
        for side in (-0.07, 0.0, 0.07):  # three bars make a box with soft edges
            foot = x + side * size
            paint_bar(canvas, (foot, y - 0.05 * size), (foot, y - 0.4 * size), 0.06 * size, colour, light)
        lid = y - 0.45 * size
        paint_bar(canvas, (x - 0.11 * size, lid), (x + 0.11 * size, lid), 0.035 * size, colour * 0.5, light)

    return Thing(y, (x - 0.15 * size, y - 0.5 * size, x + 0.15 * size, y), paint)


def _balloon(rng: np.random.Generator, x: float, y: float, size: float, light: Light) -> Thing:
    colour = rng.permutation([rng.uniform(0.7, 0.95), rng.uniform(0.1, 0.6), 0.15])
    top, radius = y - size * rng.uniform(1.2, 1.5), 0.1 * size

    def paint(canvas: np.ndarray) -> None:
        paint_bar(canvas, (x, y - 0.5 * size), (x, top), 0.008 * size, np.full(3, 0.8), light)
        paint_bar(canvas, (x, top), (x, top + 0.3 * radius), radius, colour, light)

    return Thing(y, (x - radius, top - radius, x + radius, top + 1.3 * radius), paint)


def paint_bar(
    canvas: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    colour: np.ndarray,
    light: Light,
    *,
    flat: bool = False,
) -> None:
    """A rounded bar (a ball where start is end) of one colour, lit as a solid unless `flat`."""
    _, height, width = canvas.shape
    left = max(0, int(min(start[0], end[0]) - radius - 1))
    right = min(width, int(max(start[0], end[0]) + radius + 2))
    top = max(0, int(min(start[1], end[1]) - radius - 1))
    bottom = min(height, int(max(start[1], end[1]) + radius + 2))
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None, :] + 0.5 - start[0]
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - start[1]
    ax, ay = end[0] - start[0], end[1] - start[1]
    place = np.clip((x * ax + y * ay) / (ax * ax + ay * ay or 1.0), 0, 1)
    dx, dy = x - place * ax, y - place * ay
    # A bar thinner than a pixel is drawn one pixel wide and paler.
    drawn = max(radius, 0.5)
    alpha = np.clip(drawn - np.hypot(dx, dy) + 0.5, 0, 1) * (radius / drawn)
    shade: np.ndarray | float = 1.0
    if not flat:
        shade = (
            1 + (0.15 + 0.3 * light.strength) * (dx * light.direction[0] + dy * light.direction[1]) / drawn
        )
    window = canvas[:, top:bottom, left:right]
    window += alpha * (shade * colour[:, None, None] - window)
