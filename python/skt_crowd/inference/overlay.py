"""An image to show: the photograph, the crowd as heat, and the count underneath."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skt_crowd.errors import UsageError
from skt_crowd.files import atomic_write
from skt_crowd.inference.counting import CountResult

# Dark violet, red, orange, yellow, near white: dense places glow, and the order survives in gray.
COLOURS = np.array(
    [(40, 11, 84), (120, 28, 109), (188, 55, 84), (237, 105, 37), (251, 180, 26), (252, 255, 164)], np.float64
)
OPACITY = 0.65
_STRIP = 256  # rows that are drawn at a time
FULL_PERCENTILE = 99.5  # of the cells with people in them: one bright cell must not leave the rest dark


def heat_scale(density: np.ndarray) -> float:
    """People per cell drawn at full brightness; a map without people gets 1 and stays dark."""
    populated = density[density > 1e-3]
    return float(np.percentile(populated, FULL_PERCENTILE)) if populated.size else 1.0


def colour_of(level: np.ndarray) -> np.ndarray:
    """Brightness ``(...)`` in [0, 1] to RGB ``(..., 3)`` in [0, 255]."""
    positions = np.linspace(0.0, 1.0, len(COLOURS))
    return np.stack([np.interp(level, positions, channel) for channel in COLOURS.T], axis=-1)


def heat_overlay(image: np.ndarray, density: np.ndarray, stride: int, scale: float) -> np.ndarray:
    """The photograph with the density map glowing through it: the denser, the brighter and more opaque.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        density: ``(ceil(H / stride), ceil(W / stride))`` people per cell.
        stride: pixels along the side of a cell.
        scale: people per cell at full brightness, above 0.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    height, width = image.shape[:2]
    rows, columns = density.shape
    cells = Image.fromarray(np.ascontiguousarray(density, dtype=np.float32))
    overlay = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):  # in strips, because a large photograph in float64 takes gigabytes
        bottom = min(top + _STRIP, height)
        # The last cells may reach beyond the image, so cells of whole strides are enlarged and then cut.
        smooth = cells.resize(
            (columns * stride, bottom - top),
            Image.Resampling.BICUBIC,
            box=(0.0, top / stride, columns, min(bottom / stride, rows)),
        )
        level = np.asarray(smooth)[:, :width, None] / scale
        level = np.sqrt(np.clip(level, 0.0, 1.0))  # (strip, W, 1); the root keeps sparse crowds visible
        opacity = OPACITY * np.clip(1.6 * level - 0.1, 0.0, 1.0)
        strip = image[top:bottom]
        gray = strip.mean(axis=2, keepdims=True)
        dimmed = 0.75 * (0.4 * gray + 0.6 * strip)  # heat stands out from a paler photograph
        mixed = (1.0 - opacity) * dimmed + opacity * colour_of(level[..., 0])
        overlay[top:bottom] = np.clip(mixed + 0.5, 0.0, 255.0).astype(np.uint8)
    return overlay


BACKGROUND = (24, 24, 27)
INK = (250, 250, 250)
FAINT = (180, 180, 186)
SMALLEST_SIDE = 320  # the longer side of a small image is enlarged to this, pixel by pixel
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def draw_overlay(image: np.ndarray, result: CountResult) -> Image.Image:
    """The photograph with heat over it and a bar below with the count and the meaning of the colours.

    Nothing is written over the photograph, so nobody in it is hidden. Any size from 1x1: small images are
    enlarged.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, the pixels that were counted.
        result: of ``count_image``.

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
    """Write ``draw_overlay`` as PNG or JPEG, as the file's suffix says. Atomic.

    Raises:
        UsageError: the suffix is neither, or an image of another size than the one counted.
        SktError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected a name ending in {', '.join(FORMATS)}")
    overlay = draw_overlay(image, result)
    atomic_write(path, lambda stream: overlay.save(stream, FORMATS[path.suffix.lower()], quality=92))


def _bar(width: int, result: CountResult, scale: float) -> Image.Image:
    """The count on the left, the colours' meaning on the right, sized to the image's width."""
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
    if left - low_width > used + margin:  # a narrow image keeps the count and leaves the legend out
        ramp = colour_of(np.broadcast_to(np.linspace(0.0, 1.0, ramp_width), (ramp_height, ramp_width)))
        bar.paste(Image.fromarray(ramp.astype(np.uint8)), (left, middle - ramp_height // 2))
        draw.text((left - low_width, middle), "0", fill=FAINT, font=small, anchor="lm")
        draw.text((right, middle), high, fill=FAINT, font=small, anchor="lm")
    return bar
