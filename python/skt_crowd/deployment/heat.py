"""Lay a density map over a photograph as heat."""

import numpy as np
from PIL import Image

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
    """The photograph with the density map glowing through it: the denser, the brighter and the more opaque.

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
