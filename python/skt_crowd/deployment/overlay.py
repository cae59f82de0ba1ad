"""A picture to show: the photograph, the crowd as heat, and the count underneath."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skt_crowd.deployment.counting import CountResult
from skt_crowd.deployment.heat import colour_of, heat_overlay, heat_scale
from skt_crowd.errors import UsageError
from skt_crowd.files import atomic_write

BACKGROUND = (24, 24, 27)
INK = (250, 250, 250)
FAINT = (180, 180, 186)
SMALLEST_SIDE = 320  # the longer side of a small image is enlarged to this, pixel by pixel
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def draw_overlay(image: np.ndarray, result: CountResult) -> Image.Image:
    """The photograph with heat over it and a bar below that says how many people and what the colours mean.

    Nothing is written over the photograph, so nobody in it is hidden. Any size from 1x1: small images are
    enlarged.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, the pixels that were counted.
        result: of :func:`~skt_crowd.deployment.counting.count_image`.

    Raises:
        UsageError: an image of another size than the one counted.
    """
    if image.shape != (result.height, result.width, 3):
        raise UsageError(
            f"image: expected the counted ({result.height}, {result.width}, 3), got {tuple(image.shape)}"
        )
    scale = heat_scale(result.density)
    photograph = Image.fromarray(heat_overlay(image, result.density, result.stride, scale))
    factor = max(1, -(-SMALLEST_SIDE // max(photograph.size)))
    if factor > 1:
        enlarged = photograph.width * factor, photograph.height * factor
        photograph = photograph.resize(enlarged, Image.Resampling.NEAREST)
    bar = _bar(max(photograph.width, SMALLEST_SIDE), result, scale)
    canvas = Image.new("RGB", (bar.width, photograph.height + bar.height), BACKGROUND)
    canvas.paste(photograph, ((canvas.width - photograph.width) // 2, 0))
    canvas.paste(bar, (0, photograph.height))
    return canvas


def save_overlay(path: Path, image: np.ndarray, result: CountResult) -> None:
    """Write :func:`draw_overlay` as PNG or JPEG, as the file's suffix says. Atomic.

    Raises:
        UsageError: another suffix, or an image of another size than the one counted.
        SktError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected a name ending in {', '.join(FORMATS)}")
    picture = draw_overlay(image, result)

    def write(stream: BinaryIO) -> None:
        picture.save(stream, FORMATS[path.suffix.lower()], quality=92)

    atomic_write(path, write)


def _bar(width: int, result: CountResult, scale: float) -> Image.Image:
    """The count on the left, the colours' meaning on the right, sized to the picture's width."""
    size = int(np.clip(width / 26, 18, 64))
    large, small = ImageFont.load_default(size), ImageFont.load_default(max(11, size // 2))
    bar = Image.new("RGB", (width, 2 * size), BACKGROUND)
    draw = ImageDraw.Draw(bar)
    middle, margin = size, size // 2
    people = f"{result.people:,} {'person' if result.people == 1 else 'people'}"
    draw.text((margin, middle), people, fill=INK, font=large, anchor="lm")
    used = margin + draw.textlength(people, font=large)

    high = f"{scale:.2g} per {result.stride}x{result.stride} px"
    ramp_width, ramp_height = 4 * size, max(6, size // 3)
    right = width - margin - int(draw.textlength(high, font=small))
    left = right - margin // 2 - ramp_width
    low_width = int(draw.textlength("0", font=small)) + margin // 2
    if left - low_width > used + margin:  # a narrow picture keeps the count and leaves the legend out
        ramp = colour_of(np.broadcast_to(np.linspace(0.0, 1.0, ramp_width), (ramp_height, ramp_width)))
        bar.paste(Image.fromarray(ramp.astype(np.uint8)), (left, middle - ramp_height // 2))
        draw.text((left - low_width, middle), "0", fill=FAINT, font=small, anchor="lm")
        draw.text((right, middle), high, fill=FAINT, font=small, anchor="lm")
    return bar
