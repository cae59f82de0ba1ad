"""Contact sheets: pages of images with their density maps beside them, to check a data set at a glance."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from skt_crowd.files import atomic_write

# Pixels. A page is read on a screen: about 2000 wide, and lower than that.
_BOX_AREA = 260 * 195
_MARGIN, _GAP, _HEADER, _CAPTION = 24, 14, 84, 48
_PAGE_WIDTH, _PAGE_HEIGHT = 2200, 1500


_PAPER, _INK, _FAINT, _WARNING = (250, 250, 248), (24, 24, 27), (110, 110, 118), (196, 62, 0)
_OUTSIDE_ROI = (58, 58, 64)
_DIMMED = 0.3  # brightness of the photograph outside the region of interest

_FULL_PERCENTILE = 99.5  # of the populated pixels: one crowded corner must not leave the rest dark
_KEY = "skt_prepare"  # the PNG's text entry that says what it shows


class SheetImage(NamedTuple):
    """One image of a contact sheet."""

    name: str
    image: np.ndarray  # (H, W, 3) uint8 RGB
    density: np.ndarray  # (H, W) float32, people per pixel
    roi: np.ndarray | None  # (H, W) bool, True where people are counted
    people: int
    warnings: Sequence[str]  # a few words each, shown in a warning colour


class SheetLayout(NamedTuple):
    """How many images a page holds and how large each box is; the same for the whole sheet, so that pages match."""

    columns: int
    rows: int
    box: tuple[int, int]  # (width, height) of the box for a photograph, and of the one for its map

    @property
    def images(self) -> int:
        return self.columns * self.rows

    @property
    def cell(self) -> tuple[int, int]:
        width, height = self.box
        return 2 * width + 2, height + _CAPTION


def sheet_layout(shapes: Sequence[tuple[int, int]]) -> SheetLayout:
    """A layout that suits images of these shapes (H, W): boxes have the median aspect ratio."""
    aspect = float(np.median([width / height for height, width in shapes])) if shapes else 4 / 3
    aspect = min(max(aspect, 0.4), 2.5)
    width = round(math.sqrt(_BOX_AREA * aspect))
    layout = SheetLayout(1, 1, (width, round(width / aspect)))
    columns = max(1, (_PAGE_WIDTH - 2 * _MARGIN + _GAP) // (layout.cell[0] + _GAP))
    rows = max(1, (_PAGE_HEIGHT - _HEADER - _MARGIN + _GAP) // (layout.cell[1] + _GAP))
    return layout._replace(columns=columns, rows=rows)


def draw_page(images: Sequence[SheetImage], layout: SheetLayout, title: str, subtitle: str) -> Image.Image:
    """A page: a title, and for each image the photograph, its map, its name and its count.

    Each map has its own scale, from nobody (dark) to the densest places (bright), by the cube root of the density,
    which keeps the few people in front visible beside the many in the distance.
    The photograph is dimmed and the map gray outside a region of interest.
    """
    width, height = layout.cell
    rows = max(1, math.ceil(len(images) / layout.columns))  # the last page is no longer than it must be
    page_width = 2 * _MARGIN + layout.columns * (width + _GAP) - _GAP
    page = Image.new("RGB", (page_width, _HEADER + rows * (height + _GAP) - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(page)
    room = page_width - 2 * _MARGIN
    draw.text((_MARGIN, 18), _shorten(draw, title, _font(26), room), fill=_INK, font=_font(26))
    draw.text((_MARGIN, 52), _shorten(draw, subtitle, _font(16), room), fill=_FAINT, font=_font(16))
    for place, image in enumerate(images):
        row, column = divmod(place, layout.columns)
        corner = _MARGIN + column * (width + _GAP), _HEADER + row * (height + _GAP)
        _draw_cell(page, draw, corner, image, layout.box)
    return page


def save_page(path: Path, page: Image.Image, key: str) -> None:
    """Write a page as PNG, with a key that identifies what it shows. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    text = PngInfo()
    text.add_text(_KEY, key)
    atomic_write(path, lambda stream: page.save(stream, "PNG", pnginfo=text, compress_level=4))


def page_key(path: Path) -> str | None:
    """The key of a page on disk; None where there is no such page or the file is damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as page:
            key = page.info.get(_KEY)
            page.verify()
    except Exception:  # no file, no PNG, or a damaged one: decoders raise nearly anything
        return None
    return key if isinstance(key, str) else None


def _draw_cell(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    sheet_image: SheetImage,
    box: tuple[int, int],
) -> None:
    left, top = corner
    height, width = sheet_image.image.shape[:2]
    scale = min(box[0] / width, box[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    inset = (box[0] - size[0]) // 2, (box[1] - size[1]) // 2
    draw.rectangle((left, top, left + 2 * box[0] + 1, top + box[1] - 1), fill=(232, 232, 228))
    for panel, x in ((_photograph(sheet_image, size), left), (_heat(sheet_image, size), left + box[0] + 2)):
        page.paste(panel, (x + inset[0], top + inset[1]))
    right, line = left + 2 * box[0] + 1, top + box[1] + 6
    people = f"{sheet_image.people:,} {'person' if sheet_image.people == 1 else 'people'}"
    draw.text((right, line), people, fill=_INK, font=_font(17), anchor="ra")
    room = 2 * box[0] - int(draw.textlength(people, font=_font(17))) - _GAP
    draw.text((left, line), _shorten(draw, sheet_image.name, _font(17), room), fill=_INK, font=_font(17))
    total = float(sheet_image.density.sum(dtype=np.float64))
    facts = f"sum of the map {total:,.2f}"
    draw.text((right, line + 22), facts, fill=_FAINT, font=_font(13), anchor="ra")
    if sheet_image.warnings:
        note, colour = ", ".join(sheet_image.warnings), _WARNING
    else:
        note, colour = f"{width} x {height}", _FAINT
    room = 2 * box[0] - int(draw.textlength(facts, font=_font(13))) - _GAP
    draw.text((left, line + 22), _shorten(draw, note, _font(13), room), fill=colour, font=_font(13))


def _photograph(sheet_image: SheetImage, size: tuple[int, int]) -> Image.Image:
    small = Image.fromarray(sheet_image.image).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    if sheet_image.roi is None:
        return small
    return Image.composite(
        small, Image.eval(small, lambda value: int(value * _DIMMED)), _mask(sheet_image, size)
    )


def _heat(sheet_image: SheetImage, size: tuple[int, int]) -> Image.Image:
    """The map reduced by averages, as colours."""
    reduced = Image.fromarray(np.ascontiguousarray(sheet_image.density, np.float32))
    level = np.asarray(reduced.resize(size, Image.Resampling.BOX), np.float64)  # (h, w)
    populated = level[level > 1e-3 * level.max()]
    full = float(np.percentile(populated, _FULL_PERCENTILE)) if populated.size else 1.0
    index = (np.cbrt(np.clip(level / full, 0, 1)) * 255 + 0.5).astype(np.uint8)
    heat = Image.fromarray(_colours()[index])
    if sheet_image.roi is None:
        return heat
    return Image.composite(heat, Image.new("RGB", size, _OUTSIDE_ROI), _mask(sheet_image, size))


def _mask(sheet_image: SheetImage, size: tuple[int, int]) -> Image.Image:
    assert sheet_image.roi is not None
    return Image.fromarray(sheet_image.roi.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """(256, 3) uint8, dark to bright; its order survives in gray."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.arange(256), bytes=True)[:, :3])


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shorten(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int
) -> str:
    """The text, or its beginning and three dots where it does not fit."""
    if draw.textlength(text, font=font) <= room:
        return text
    lengths = [draw.textlength(text[:end] + "...", font=font) for end in range(len(text))]
    fitting = bisect_right(lengths, room)
    return text[: max(fitting - 1, 0)] + "..."
