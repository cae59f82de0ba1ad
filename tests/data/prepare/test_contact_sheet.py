"""Contact sheets: images and maps where they belong, and pages that fit their images."""

import numpy as np
import pytest

from skt_crowd.data.prepare.contact_sheet import SheetImage, draw_page, page_key, save_page, sheet_layout

PAPER = (250, 250, 248)


def sheet_image(height: int = 90, width: int = 120, **changes) -> SheetImage:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = 200
    density = np.zeros((height, width), np.float32)
    density[height // 2 :] = 1e-3
    return SheetImage("a", image, density, None, 5, ())._replace(**changes)


def panels(image: SheetImage) -> tuple[np.ndarray, np.ndarray]:
    """The photograph and the map of a page of one image, cut from the page."""
    layout = sheet_layout([image.image.shape[:2]])
    page = np.asarray(draw_page([image], layout, "title", "subtitle"))
    width, height = layout.box
    return page[84 : 84 + height, 24 : 24 + width], page[84 : 84 + height, 26 + width : 26 + 2 * width]


def test_photograph_and_map_side_by_side():
    photograph, heat = panels(sheet_image())
    assert (photograph == (0, 200, 0)).all()
    middle = len(heat) // 2
    assert heat[: middle - 2].max() < 10  # nobody: nearly black
    assert heat[middle + 2 :].min() > 100  # everybody: bright


def test_outside_the_region_is_dimmed_and_gray():
    roi = np.ones((90, 120), bool)
    roi[:, :60] = False
    photograph, heat = panels(sheet_image(roi=roi))
    middle = photograph.shape[1] // 2
    assert (photograph[:, : middle - 2] == (0, 60, 0)).all()
    assert (photograph[:, middle + 2 :] == (0, 200, 0)).all()
    assert (heat[:, : middle - 2] == (58, 58, 64)).all()


def test_an_empty_map_is_dark():
    _, heat = panels(sheet_image(density=np.zeros((90, 120), np.float32)))
    assert heat.max() < 10


def test_warnings_are_seen():
    layout = sheet_layout([(90, 120)])
    plain, warned = (
        np.asarray(draw_page([sheet_image(warnings=warnings)], layout, "t", "s")).astype(int)
        for warnings in ((), ("2 points outside",))
    )
    assert plain.shape == warned.shape

    def reddish(page):
        below = page[84 + layout.box[1] :]
        return int(((below[..., 0] > 180) & (below[..., 2] < 80)).sum())

    assert reddish(plain) == 0
    assert reddish(warned) > 20


@pytest.mark.parametrize("shape", [(480, 640), (640, 360), (100, 5000), (5000, 100), (1, 1)])
def test_pages_fit_a_screen(shape):
    layout = sheet_layout([shape])
    assert layout.images >= 1
    long_name = sheet_image(*shape, name="a long name of an image file " * 9)
    page = draw_page([long_name] * layout.images, layout, "a long title " * 40, "s")
    assert page.width <= 2200
    assert page.height <= 1500


def test_the_last_page_is_no_longer_than_it_must_be():
    layout = sheet_layout([(90, 120)])
    full, last = (draw_page([sheet_image()] * count, layout, "t", "s") for count in (layout.images, 1))
    assert last.width == full.width
    assert last.height < full.height
    assert last.getpixel((full.width - 30, last.height - 60)) == PAPER


def test_key(tmp_path):
    path = tmp_path / "page.png"
    assert page_key(path) is None
    save_page(path, draw_page([sheet_image()], sheet_layout([(90, 120)]), "t", "s"), "what it shows")
    assert page_key(path) == "what it shows"
    path.write_bytes(path.read_bytes()[:-200])
    assert page_key(path) is None
