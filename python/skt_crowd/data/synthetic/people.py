"""The people of a synthetic crowd: where they stand, what they wear, and painting them."""

from typing import NamedTuple

import numpy as np

from skt_crowd.data.synthetic.figures import HEAD_Y, MATERIALS, POSES, figure, figure_height, height_step
from skt_crowd.data.synthetic.scenery import Camera, Light, Thing, smooth_noise

SMALLEST_PERSON = 7.0  # pixels

# Heads are at least this far apart, in heights of a person across and down, so that none is hidden.
_APART = (0.15, 0.125)

_CLOTHES = MATERIALS.index("clothes")
_SKIN = np.array([[0.93, 0.76, 0.65], [0.85, 0.64, 0.50], [0.70, 0.48, 0.35], [0.47, 0.31, 0.22]])
_HAIR = np.array(
    [[0.08, 0.06, 0.05], [0.17, 0.11, 0.08], [0.33, 0.22, 0.13], [0.62, 0.47, 0.26], [0.5, 0.5, 0.5]]
)


class People(NamedTuple):
    """Where everyone stands, from far to near."""

    head: np.ndarray  # (P, 2) float64 [x, y], where the head's centre should be
    height: np.ndarray  # (P,) pixels


class _Looks(NamedTuple):
    """What differs from person to person besides place and size."""

    pose: np.ndarray  # (P,) int
    mirrored: np.ndarray  # (P,) bool
    colours: np.ndarray  # (P, 3, 5) float32, RGB of each of MATERIALS
    stripes: np.ndarray  # (P,) float32, stripes over a person's height; 0 for plain clothes
    other: np.ndarray  # (P,) float32, lightness of the stripes


class _Air(NamedTuple):
    """What the scene does to everyone's colours."""

    depth_dark: float  # how much darker it is at the feet, between other people
    haze: float  # share of the haze's colour at the horizon
    haze_colour: np.ndarray  # (3, 1, 1) float32


def place_people(rng: np.random.Generator, camera: Camera, things: list[Thing], people: int) -> People | None:
    """Heads at random visible places with some space between them, or None where they do not fit."""
    feet = 1 - HEAD_Y  # below the head's centre, in heights
    slope = camera.near / (camera.height - camera.horizon)
    y = np.arange(camera.height) + 0.5
    size = (
        slope * (y - camera.horizon) / (1 - feet * slope)
    )  # (H,) height of a person whose head is on that row
    frequency = np.where(size >= SMALLEST_PERSON, np.maximum(size, 1.0) ** -rng.uniform(0.2, 1.8), 0.0)
    if not frequency.any():
        return None
    clusters = np.exp(rng.uniform(0, 1.2) * smooth_noise(rng, camera.height, camera.width, 5))
    chance = np.cumsum((frequency[:, None] * clusters).ravel())
    tries = 40 + 6 * people
    place = np.searchsorted(chance, rng.random(tries) * chance[-1])
    row, column = np.divmod(np.minimum(place, chance.size - 1), camera.width)
    heads = np.stack([column + rng.random(tries), row + rng.random(tries)], axis=1)  # (tries, 2) [x, y]
    sizes = slope * (heads[:, 1] - camera.horizon) / (1 - feet * slope)
    free = np.ones(tries, bool)
    for thing in things:
        left, top, right, bottom = thing.box
        free &= ~(
            (heads[:, 0] >= left) & (heads[:, 0] <= right) & (heads[:, 1] >= top) & (heads[:, 1] <= bottom)
        )
    chosen: list[int] = []
    x, y = heads[:, 0] / _APART[0], heads[:, 1] / _APART[1]
    for candidate in range(tries):
        if len(chosen) == people:
            break
        if free[candidate]:
            chosen.append(candidate)
            between = (sizes + sizes[candidate]) / 2
            free &= (x - x[candidate]) ** 2 + (y - y[candidate]) ** 2 >= between * between
    if len(chosen) < people:
        return None
    order = np.array(sorted(chosen, key=lambda index: heads[index, 1]), dtype=int)
    return People(heads[order], sizes[order])


def paint_people(
    rng: np.random.Generator,
    canvas: np.ndarray,
    camera: Camera,
    light: Light,
    things: list[Thing],
    crowd: People,
) -> np.ndarray:
    """Paint people, their shadows and the things among them from far to near.

    Returns:
        (P, 2) float64, the exact centres of the heads that were painted, in the order of `crowd`.
    """
    points = np.zeros((len(crowd.head), 2))
    haze_colour = np.array([0.72, 0.74, 0.78]) * rng.uniform(0.7, 1.1)
    air = _Air(rng.uniform(0.15, 0.45), rng.uniform(0.0, 0.3), haze_colour[:, None, None].astype(np.float32))
    looks = _random_looks(rng, len(points))
    waiting = sorted(things, key=lambda thing: thing.ground_y)
    for index, (head, size) in enumerate(zip(crowd.head.tolist(), crowd.height.tolist(), strict=True)):
        ground_y = head[1] + (1 - HEAD_Y) * size
        while waiting and waiting[0].ground_y < ground_y:
            waiting.pop(0).paint(canvas)
        _paint_shadow(canvas, (head[0], ground_y), size, light)
        haze = air.haze * max(0.0, 1 - size / camera.near)
        look = _Looks(*(of_all[index] for of_all in looks))
        points[index] = _paint_person(canvas, head, size, look, light, air, haze)
    for thing in waiting:
        thing.paint(canvas)
    # A head that is rounded over the border is still that of a person in the image.
    last = np.nextafter([float(camera.width), float(camera.height)], 0)
    return np.clip(points, 0, last)


def _paint_shadow(canvas: np.ndarray, foot: tuple[float, float], size: float, light: Light) -> None:
    """Darken an ellipse on the ground that starts at the feet and points away from the light."""
    reach = (0.16 + 0.22 * light.strength) * size
    thickness = 0.085 * size
    x0 = foot[0] - float(light.direction[0]) * (reach - 0.14 * size)
    _, height, width = canvas.shape
    left, right = max(0, int(x0 - reach)), min(width, int(x0 + reach) + 1)
    top, bottom = max(0, int(foot[1] - thickness)), min(height, int(foot[1] + thickness) + 1)
    if left >= right or top >= bottom:
        return
    dx = (np.arange(left, right, dtype=np.float32) + (0.5 - x0)) / reach
    dy = (np.arange(top, bottom, dtype=np.float32) + (0.5 - foot[1])) / thickness
    falloff = np.maximum(1 - (dx * dx)[None, :] - (dy * dy)[:, None], 0)
    canvas[:, top:bottom, left:right] *= 1 - (0.35 + 0.35 * light.strength) * falloff


def _paint_person(
    canvas: np.ndarray, head: list[float], size: float, look: _Looks, light: Light, air: _Air, haze: float
) -> tuple[float, float]:
    """Paint one person with the head's centre near `head`; returns where it is exactly, (x, y)."""
    step = height_step(size)
    drawn = figure(int(look.pose), step)
    rows, columns = drawn.opacity.shape
    head_x = columns - drawn.head[0] if look.mirrored else drawn.head[0]
    left, top = int(np.floor(head[0] - head_x + 0.5)), int(np.floor(head[1] - drawn.head[1] + 0.5))
    _, height, width = canvas.shape

    painted = (look.colours @ drawn.cover.reshape(len(MATERIALS), -1)).reshape(3, rows, columns)
    down = np.arange(rows, dtype=np.float32)[:, None] / np.float32(figure_height(step))
    if look.stripes:
        striped = drawn.cover[_CLOTHES] * (np.sin(down * look.stripes) > 0)
        painted += striped * (np.float32(0.8) * (look.other - look.colours[:, _CLOTHES, None, None]))
    towards = light.direction * (-1 if look.mirrored else 1, 1) * (0.16 + 0.34 * light.strength)
    shade = (towards.astype(np.float32) @ drawn.relief.reshape(2, -1)).reshape(rows, columns)
    painted *= (shade + np.float32(1.02)) * (1 - np.float32(air.depth_dark) * down)
    if haze > 0.02:
        painted += np.float32(haze) * (drawn.opacity * air.haze_colour - painted)
    opacity = drawn.opacity
    if look.mirrored:
        painted, opacity = painted[:, :, ::-1], opacity[:, ::-1]

    x0, x1, y0, y1 = max(0, left), min(width, left + columns), max(0, top), min(height, top + rows)
    part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    window = canvas[:, y0:y1, x0:x1]
    window *= 1 - opacity[part]
    window += painted[(slice(None), *part)]
    return left + head_x, top + drawn.head[1]


def _random_looks(rng: np.random.Generator, people: int) -> _Looks:
    clothes = 0.35 * rng.random((people, 3)) + 0.5 * rng.random((people, 1))  # between gray and bright
    style = rng.random((people, 1))
    clothes = np.where(style < 0.3, 0.3 * clothes, np.where(style > 0.85, 0.65 + 0.25 * clothes, clothes))
    legs = np.array([0.14, 0.16, 0.22]) * rng.uniform(0.4, 2.0, (people, 1)) + 0.06 * rng.random((people, 3))
    skin = _SKIN[rng.integers(len(_SKIN), size=people)] * rng.uniform(0.85, 1.1, (people, 1))
    hair = _HAIR[rng.integers(len(_HAIR), size=people)]
    hair = np.where(rng.random((people, 1)) < 0.12, 0.8 * rng.random((people, 3)), hair)  # a hat
    bag = np.array([0.25, 0.2, 0.17]) * rng.uniform(0.4, 2.0, (people, 1))
    return _Looks(
        pose=rng.integers(POSES, size=people),
        mirrored=rng.random(people) < 0.5,
        colours=np.stack([legs, clothes, skin, hair, bag], axis=2).astype(np.float32),
        stripes=np.where(rng.random(people) < 0.12, rng.uniform(60, 160, people), 0).astype(np.float32),
        other=rng.uniform(0.1, 0.8, people).astype(np.float32),
    )
