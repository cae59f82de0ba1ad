"""Overlays: heat where the people are, a bar below, any size from 1x1."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skt_crowd.errors import SktError, UsageError
from skt_crowd.inference import CountResult, draw_overlay, save_overlay
from skt_crowd.inference.overlay import COLOURS, colour_of, heat_overlay, heat_scale


def result(height: int, width: int, density: np.ndarray | None = None) -> CountResult:
    if density is None:
        density = np.full((-(-height // 8), -(-width // 8)), 0.25, np.float32)
    return CountResult(Path("a.jpg"), float(density.sum()), height, width, 0.1, density, 8)


def gray(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1), (3, 7), (40, 33), (240, 400)])
def test_any_size_gives_an_image_wide_enough_for_its_count(height: int, width: int) -> None:
    overlay = draw_overlay(gray(height, width), result(height, width))
    assert overlay.mode == "RGB"
    assert overlay.width >= 320
    assert overlay.height > height
    bar = np.asarray(overlay)[-30:, :150]
    assert bar.max() > 200  # the count is written there


def test_a_large_photograph_keeps_its_pixels_apart_from_heat() -> None:
    overlay = draw_overlay(gray(240, 400), result(240, 400, np.zeros((30, 50), np.float32)))
    assert overlay.width == 400
    shown = np.asarray(overlay)[:240]
    assert np.unique(shown).tolist() == [75]  # 100 dimmed to three quarters, no heat anywhere


def test_heat_is_where_the_people_are() -> None:
    density = np.zeros((4, 6), np.float32)
    density[0, 5] = 1.0  # top right
    overlay = heat_overlay(gray(32, 48), density, 8, scale=1.0).astype(int)
    warmth = overlay[..., 0] - overlay[..., 2]  # red minus blue
    hottest = np.unravel_index(warmth.argmax(), warmth.shape)
    assert hottest[0] < 8
    assert hottest[1] >= 40
    assert (overlay[16:, :32] == 75).all()


def test_heat_of_sizes_that_do_not_divide_is_not_stretched() -> None:
    """9 pixels are two cells of 8: the second one begins at pixel 8 and reaches beyond the image."""
    density = np.array([[0.0, 1.0]], np.float32)
    wide = heat_overlay(gray(8, 16), density, 8, scale=1.0)
    assert np.array_equal(heat_overlay(gray(8, 9), density, 8, scale=1.0), wide[:, :9])


def test_denser_is_brighter_and_negative_cells_are_cold() -> None:
    levels = [
        heat_overlay(gray(8, 8, 0), np.array([[d]], np.float32), 8, scale=1.0).sum()
        for d in (-1, 0, 0.1, 0.5, 1)
    ]
    assert levels[0] == levels[1] < levels[2] < levels[3] < levels[4]


def test_colours_begin_and_end_where_the_table_does_and_grow_brighter() -> None:
    ramp = colour_of(np.linspace(0, 1, 101))
    assert np.array_equal(ramp[0], COLOURS[0])
    assert np.array_equal(ramp[-1], COLOURS[-1])
    assert (np.diff(ramp @ [0.299, 0.587, 0.114]) > 0).all()


def test_scale() -> None:
    assert heat_scale(np.zeros((3, 3))) == 1.0
    assert heat_scale(np.full((10, 10), -0.2)) == 1.0
    assert heat_scale(np.array([[0.0, 0.5], [0.5, 0.0]])) == 0.5


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("A.JPEG", "JPEG")])
def test_the_suffix_chooses_the_format(tmp_path: Path, name: str, kind: str) -> None:
    save_overlay(tmp_path / "new" / name, gray(30, 40), result(30, 40))
    with Image.open(tmp_path / "new" / name) as overlay:
        assert overlay.format == kind


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.gif: expected a name ending in \.png, \.jpg, \.jpeg$"):
        save_overlay(tmp_path / "a.gif", gray(8, 8), result(8, 8))
    with pytest.raises(UsageError, match=r"^image: expected the counted \(8, 8, 3\), got \(9, 8, 3\)$"):
        draw_overlay(gray(9, 8), result(8, 8))
    (tmp_path / "file").touch()
    with pytest.raises(SktError, match="cannot be written"):
        save_overlay(tmp_path / "file" / "a.png", gray(8, 8), result(8, 8))
