"""Crowds that are drawn, not photographed: exact head points, no download, any number of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from skt_crowd.data._figures import HEAD_Y, MATERIALS, POSES, figure, figure_height, height_step
from skt_crowd.data._scenery import Camera, Light, Thing, paint_ground, place_things, smooth_noise
from skt_crowd.data.samples import CrowdSample
from skt_crowd.errors import UsageError

MINIMUM_SIDE = 32

# Heads are at least this far apart, in heights of a person across and down, so that none is hidden.
_APART = (0.15, 0.125)
_SMALLEST_PERSON = 7.0  # pixels
_CLOTHES = MATERIALS.index("clothes")

_SKIN = np.array([[0.93, 0.76, 0.65], [0.85, 0.64, 0.50], [0.70, 0.48, 0.35], [0.47, 0.31, 0.22]])
_HAIR = np.array(
    [[0.08, 0.06, 0.05], [0.17, 0.11, 0.08], [0.33, 0.22, 0.13], [0.62, 0.47, 0.26], [0.5, 0.5, 0.5]]
)


class _People(NamedTuple):
    """Where everyone stands, from far to near."""

    head: np.ndarray  # (P, 2) float64 [x, y], centre of the head that was asked for
    height: np.ndarray  # (P,) pixels


def render_crowd(seed: int, size: tuple[int, int] = (128, 128), *, people: int | None = None) -> CrowdSample:
    """Draw a crowd: a pure function of its arguments.

    People stand on flat ground seen from above, larger towards the bottom, and hide those behind them; every
    head is visible at least in part, and its centre is the annotated point. One light shades them and casts
    their shadows. Clothes, skin, hair, bags, poses, ground, background, haze, blur and noise vary, and there
    are posts, signs, trees, bollards, cones, bins and balloons that are not people.

    Args:
        seed: at least 0.
        size: (H, W) of the image, each side at least 32.
        people: exactly how many, 0 or more; None: drawn from the seed, 0 to about one for each 300 pixels.

    Raises:
        UsageError: an argument out of range, or more people than there is room for.

    Example:
        >>> sample = render_crowd(seed=1, size=(96, 128), people=12)
        >>> sample.image.shape, sample.points.shape
        ((96, 128, 3), (12, 2))
    """
    height, width = size
    if seed < 0:
        raise UsageError(f"seed: expected at least 0, got {seed}")
    if min(size) < MINIMUM_SIDE:
        raise UsageError(
            f"size: expected at least {MINIMUM_SIDE} x {MINIMUM_SIDE} pixels, got {height} x {width}"
        )
    rng = np.random.default_rng(seed)
    if people is None:
        people = int(height * width / 300 * rng.random() ** 2)
    if people < 0:
        raise UsageError(f"people: expected at least 0, got {people}")
    light = _random_light(rng)
    camera, things, crowd = _compose(rng, height, width, people, light)
    canvas = paint_ground(rng, camera)
    points = _paint_everyone(rng, canvas, camera, light, things, crowd)
    image = _photograph(rng, canvas)
    return CrowdSample(f"synthetic_{seed}", image, points, 0)


class SyntheticCrowds:
    """A data set of drawn crowds: sample i is a pure function of (seed, split, i).

    Args:
        length: how many images.
        split: ``"train"`` or ``"test"``, which share no image.
        seed: at least 0.
        height, width: of every image, at least 32.
        people_min, people_max: the range of the number of people in an image; sparse scenes are more frequent
            than dense ones.

    Raises:
        UsageError: an argument out of range.

    Example:
        >>> crowds = SyntheticCrowds(length=4, people_min=3, people_max=20)
        >>> len(crowds), crowds.names[0], 3 <= len(crowds[0].points) <= 20
        (4, 'train_00000', True)
    """

    kind = "synthetic"

    def __init__(
        self,
        *,
        length: int = 256,
        split: str = "train",
        seed: int = 0,
        height: int = 128,
        width: int = 128,
        people_min: int = 3,
        people_max: int = 60,
    ) -> None:
        if split not in ("train", "test"):
            raise UsageError(f"split: expected one of train, test, got {split!r}")
        if length < 1 or seed < 0:
            raise UsageError(f"length and seed: expected at least 1 and 0, got {length} and {seed}")
        if min(height, width) < MINIMUM_SIDE:
            raise UsageError(f"height and width: expected at least {MINIMUM_SIDE}, got {height} and {width}")
        if not 0 <= people_min <= people_max:
            raise UsageError(
                f"people_min and people_max: expected 0 <= min <= max, got {people_min}, {people_max}"
            )
        self.names = [f"{split}_{index:05d}" for index in range(length)]
        self._stream = (seed, ("train", "test").index(split))
        self._size = (height, width)
        self._people = (people_min, people_max)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> CrowdSample:
        name = self.names[index]
        rng = np.random.default_rng((*self._stream, index % len(self.names)))
        fewest, most = self._people
        people = fewest + int((most - fewest + 1) * rng.random() ** 1.5)
        sample = render_crowd(int(rng.integers(2**63)), self._size, people=people)
        return sample._replace(name=name)

    def image_path(self, index: int) -> Path | None:
        return None


def _random_light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(0.15, 0.85) * np.pi
    return Light(np.array([np.cos(angle), -np.sin(angle)]), float(rng.random()))


def _compose(
    rng: np.random.Generator, height: int, width: int, people: int, light: Light
) -> tuple[Camera, list[Thing], _People]:
    """A camera, distractors and people that fit; where the people do not fit, all of it again but smaller."""
    visible_horizon = rng.random() < 0.3
    horizon = height * (rng.uniform(0.05, 0.2) if visible_horizon else -rng.uniform(0.05, 1.0))
    roomy = rng.uniform(0.22, 0.45) * height
    crowded = rng.uniform(1.7, 3.3) * np.sqrt(height * width / max(people, 1))
    near = 1.5 * max(min(roomy, crowded), 1.5 * _SMALLEST_PERSON)
    while near >= _SMALLEST_PERSON:
        camera = Camera(height, width, horizon, float(min(near, 0.8 * (height - horizon))))
        things = place_things(rng, camera, light)
        crowd = _place_people(rng, camera, things, people)
        if crowd is not None:
            return camera, things, crowd
        near *= 0.85
    raise UsageError(f"people: no room for {people} in {height} x {width} pixels")


def _place_people(
    rng: np.random.Generator, camera: Camera, things: list[Thing], people: int
) -> _People | None:
    """Heads at random visible places with some space between them, or None where they do not fit."""
    feet = 1 - HEAD_Y  # below the head's centre, in heights
    slope = camera.near / (camera.height - camera.horizon)
    y = np.arange(camera.height) + 0.5
    size = (
        slope * (y - camera.horizon) / (1 - feet * slope)
    )  # (H,) height of a person whose head is on that row
    frequency = np.where(size >= _SMALLEST_PERSON, np.maximum(size, 1.0) ** -rng.uniform(0.2, 1.8), 0.0)
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
    return _People(heads[order], sizes[order])


def _paint_everyone(
    rng: np.random.Generator,
    canvas: np.ndarray,
    camera: Camera,
    light: Light,
    things: list[Thing],
    crowd: _People,
) -> np.ndarray:
    """Paint people and things from far to near; returns the exact head points (P, 2), in that order."""
    points = np.zeros((len(crowd.head), 2))
    haze = rng.uniform(0.0, 0.3)
    haze_colour = (np.array([0.72, 0.74, 0.78]) * rng.uniform(0.7, 1.1)).astype(np.float32)
    depth_dark = rng.uniform(0.15, 0.45)
    colours = _random_colours(rng, len(points))
    waiting = sorted(things, key=lambda thing: thing.ground_y)
    for index, (head, size) in enumerate(zip(crowd.head, crowd.height, strict=True)):
        ground_y = head[1] + (1 - HEAD_Y) * size
        while waiting and waiting[0].ground_y < ground_y:
            waiting.pop(0).paint(canvas)
        _paint_shadow(canvas, (head[0], ground_y), size, light)
        far = haze * max(0.0, 1 - size / camera.near)
        points[index] = _paint_person(
            rng, canvas, head, size, colours[index], light, depth_dark, far, haze_colour
        )
    for thing in waiting:
        thing.paint(canvas)
    return points


def _paint_shadow(canvas: np.ndarray, foot: tuple[float, float], size: float, light: Light) -> None:
    """Darken an ellipse on the ground that starts at the feet and points away from the light."""
    reach = (0.16 + 0.22 * light.strength) * size
    thickness = 0.085 * size
    x0 = foot[0] - light.direction[0] * (reach - 0.14 * size)
    height, width = canvas.shape[:2]
    left, right = max(0, int(x0 - reach)), min(width, int(x0 + reach) + 1)
    top, bottom = max(0, int(foot[1] - thickness)), min(height, int(foot[1] + thickness) + 1)
    if left >= right or top >= bottom:
        return
    dx = (np.arange(left, right, dtype=np.float32)[None, :] + 0.5 - x0) / reach
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - foot[1]) / thickness
    dark = np.clip(1 - dx * dx - dy * dy, 0, 1) * (0.35 + 0.35 * light.strength)
    canvas[top:bottom, left:right] *= (1 - dark)[:, :, None]


def _paint_person(
    rng: np.random.Generator,
    canvas: np.ndarray,
    head: np.ndarray,
    size: float,
    colours: np.ndarray,
    light: Light,
    depth_dark: float,
    haze: float,
    haze_colour: np.ndarray,
) -> np.ndarray:
    """Paint one person with the head's centre near `head`; returns where it is exactly, [x, y]."""
    step = height_step(size)
    drawn = figure(int(rng.integers(POSES)), step)
    mirrored = rng.random() < 0.5
    rows, columns = drawn.opacity.shape[:2]
    materials = drawn.cover.shape[2]
    # Matrix products over all pixels at once: the arrays must be contiguous, so mirroring comes after.
    painted = (drawn.cover.reshape(-1, materials) @ colours).reshape(rows, columns, 3)
    down = (np.arange(rows, dtype=np.float32) / figure_height(step))[:, None, None]
    if rng.random() < 0.12:
        stripes = np.sin(down * rng.uniform(60, 160)) > 0
        other = (rng.uniform(0.1, 0.8) - colours[_CLOTHES]) * np.float32(0.8)
        painted += drawn.cover[:, :, _CLOTHES : _CLOTHES + 1] * stripes * other
    towards = light.direction * (-1 if mirrored else 1, 1) * (0.16 + 0.34 * light.strength)
    shade = (drawn.relief.reshape(-1, 2) @ towards.astype(np.float32)).reshape(rows, columns, 1)
    painted *= (shade + np.float32(1.02)) * (1 - np.float32(depth_dark) * down)
    if haze:
        painted += np.float32(haze) * (drawn.opacity * haze_colour - painted)
    opacity = drawn.opacity
    head_x = drawn.head[0]
    if mirrored:
        painted, opacity, head_x = painted[:, ::-1], opacity[:, ::-1], columns - head_x
    left, top = int(np.floor(head[0] - head_x + 0.5)), int(np.floor(head[1] - drawn.head[1] + 0.5))
    height, width = canvas.shape[:2]
    x0, x1, y0, y1 = max(0, left), min(width, left + columns), max(0, top), min(height, top + rows)
    window = canvas[y0:y1, x0:x1]
    window *= 1 - opacity[y0 - top : y1 - top, x0 - left : x1 - left]
    window += painted[y0 - top : y1 - top, x0 - left : x1 - left]
    exact = np.array([left + head_x, top + drawn.head[1]])
    return np.clip(exact, 0, np.nextafter([float(width), float(height)], 0))


def _random_colours(rng: np.random.Generator, people: int) -> np.ndarray:
    """(people, 5, 3) float32: a colour for each of MATERIALS."""
    clothes = 0.35 * rng.random((people, 3)) + 0.5 * rng.random((people, 1))  # between gray and bright
    style = rng.random((people, 1))
    clothes = np.where(style < 0.3, 0.3 * clothes, np.where(style > 0.85, 0.65 + 0.25 * clothes, clothes))
    legs = np.array([0.14, 0.16, 0.22]) * rng.uniform(0.4, 2.0, (people, 1)) + 0.06 * rng.random((people, 3))
    skin = _SKIN[rng.integers(len(_SKIN), size=people)] * rng.uniform(0.85, 1.1, (people, 1))
    hair = _HAIR[rng.integers(len(_HAIR), size=people)]
    hair = np.where(rng.random((people, 1)) < 0.12, 0.8 * rng.random((people, 3)), hair)  # a hat
    bag = np.array([0.25, 0.2, 0.17]) * rng.uniform(0.4, 2.0, (people, 1))
    return np.stack([legs, clothes, skin, hair, bag], axis=1).astype(np.float32)


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Exposure, tint, vignette, blur and noise: from light to (H, W, 3) uint8."""
    height, width = canvas.shape[:2]
    tint = rng.uniform(0.75, 1.2) * (1 + rng.uniform(-0.07, 0.07, 3))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    vignette = 1 - rng.uniform(0, 0.15) * (x * x + y * y)
    blur = rng.uniform(0.25, 0.6)
    picture = gaussian_filter(canvas, (blur, blur, 0), truncate=2.5)
    picture *= vignette[:, :, None] * tint.astype(np.float32)
    picture += rng.uniform(0.004, 0.025) * rng.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
