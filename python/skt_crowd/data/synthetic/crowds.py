"""Crowds that are rendered, not photographed: exact head positions, no download, any number of them."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from skt_crowd.data.samples import CrowdSample
from skt_crowd.data.synthetic.people import SMALLEST_PERSON, People, paint_people, place_people
from skt_crowd.data.synthetic.scenery import Camera, Light, Thing, paint_ground, place_things
from skt_crowd.errors import UsageError

MINIMUM_SIDE = 32


def render_crowd(seed: int, size: tuple[int, int] = (128, 128), *, people: int | None = None) -> CrowdSample:
    """Render a crowd: a pure function of its arguments.

    People stand on flat ground seen from above, larger towards the bottom, and hide those behind them; every
    head is visible at least in part, and its centre is the annotated point. One light shades them and casts
    their shadows. Clothes, skin, hair, bags, poses, ground, background, haze, blur and noise vary, and there
    are posts, signs, trees, bollards, cones, bins and balloons that are not people.

    Args:
        seed: at least 0.
        size: (H, W) of the image, each side at least 32.
        people: exactly how many, 0 or more; None: chosen by the seed, from 0 to about one per 300 pixels.

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
    points = paint_people(rng, canvas, camera, light, things, crowd)
    image = _photograph(rng, canvas)
    return CrowdSample(f"synthetic_{seed}", image, points, 0)


class SyntheticCrowds:
    """A data set of synthetic crowds: sample i is a pure function of (seed, split, i).

    Args:
        length: how many images.
        split: ``"train"`` or ``"test"``, which share no image.
        seed: at least 0.
        height: of every image, at least 32 pixels.
        width: of every image, at least 32 pixels.
        people_min: the smallest number of people in an image.
        people_max: the largest; sparse scenes are more frequent than dense ones.

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
) -> tuple[Camera, list[Thing], People]:
    """A camera, distractors and people that fit; where the people do not fit, all of it again but smaller."""
    visible_horizon = rng.random() < 0.3
    horizon = height * (rng.uniform(0.05, 0.2) if visible_horizon else -rng.uniform(0.05, 1.0))
    roomy = rng.uniform(0.22, 0.45) * height
    crowded = rng.uniform(1.7, 3.3) * np.sqrt(height * width / max(people, 1))
    near = 1.5 * max(min(roomy, crowded), 1.5 * SMALLEST_PERSON)
    while near >= SMALLEST_PERSON:
        camera = Camera(height, width, horizon, float(min(near, 0.8 * (height - horizon))))
        things = place_things(rng, camera, light)
        crowd = place_people(rng, camera, things, people)
        if crowd is not None:
            return camera, things, crowd
        near *= 0.85
    raise UsageError(f"people: no room for {people} in {height} x {width} pixels")


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Exposure, tint, vignette, blur and noise: from a canvas (3, H, W) to an image (H, W, 3) uint8."""
    _, height, width = canvas.shape
    tint = rng.uniform(0.75, 1.2) * (1 + rng.uniform(-0.07, 0.07, 3))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    exposure = tint[:, None, None] * (1 - rng.uniform(0, 0.15) * (x * x + y * y))  # (3, H, W)
    blur = rng.uniform(0.25, 0.6)
    image = gaussian_filter(canvas, (0, blur, blur), truncate=2.5)
    image *= exposure.astype(np.float32)
    image += np.float32(rng.uniform(0.004, 0.025)) * rng.standard_normal(image.shape, dtype=np.float32)
    np.clip(image, 0, 1, out=image)
    return np.ascontiguousarray((image * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
