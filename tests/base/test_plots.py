"""Figures: files of the right kind and content, drawn without global state; bad input is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skt_crowd.errors import SktError, UsageError
from skt_crowd.plots import (
    Comparison,
    _correlation,
    _running_mean,
    save_comparison,
    save_count_scatter,
    save_feature_means,
    save_loss_curves,
)

RANDOM = np.random.default_rng(0)


def comparison(height: int, width: int) -> Comparison:
    image = RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)
    cells = (-(-height // 8), -(-width // 8))
    maps = {title: RANDOM.random(cells, dtype=np.float32) for title in ("hard", "soft", "predicted")}
    return Comparison("crowd", image, 7, maps)


def features(count: int, channels: int) -> list[np.ndarray]:
    return [RANDOM.random((channels, 5, 8)) for _ in range(count)]


def draw_comparison(path: Path) -> None:
    save_comparison(path, [comparison(1, 1), comparison(900, 2)])


def draw_scatter(path: Path) -> None:
    save_count_scatter(path, [10.5, 0.0, -0.5], [12, 0, 0], "student")


def draw_curves(path: Path) -> None:
    save_loss_curves(path, {"total": ([1, 2, 3], [9.0, float("nan"), 1.0]), "inter": ([1, 2], [0, 0])})


def draw_features(path: Path) -> None:
    image = RANDOM.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    save_feature_means(path, image, ("a", "b"), {"teacher": features(2, 8), "student": features(2, 2)})


DRAWINGS = [draw_comparison, draw_scatter, draw_curves, draw_features]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_png_of_readable_size_with_something_on_it(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    path = tmp_path / "new folder" / "figure.png"
    draw(path)
    with Image.open(path) as figure:
        assert figure.format == "PNG"
        assert min(figure.size) > 150
        assert max(figure.size) < 4000
        colours = figure.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 50
    assert [entry.name for entry in path.parent.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_an_unwritable_place_is_one_clear_error(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SktError, match="cannot be written"):
        draw(tmp_path / "file" / "figure.png")


def test_matplotlib_is_imported_with_the_first_figure_and_pyplot_never(tmp_path: Path) -> None:
    script = """
import pathlib, sys
from skt_crowd.plots import save_count_scatter
assert "matplotlib" not in sys.modules, "too early"
save_count_scatter(pathlib.Path(sys.argv[1]), [1.0], [1], "x")
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules, "global state"
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.png")], check=True)


def test_the_hard_map_is_drawn_upright(tmp_path: Path) -> None:
    """A person at the top left must light the top left of the panel, not the bottom."""
    density = np.zeros((5, 8), np.float32)
    density[0, 0] = 1.0
    save_comparison(
        tmp_path / "a.png", [Comparison("a", np.zeros((40, 64, 3), np.uint8), 1, {"hard": density})]
    )
    with Image.open(tmp_path / "a.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).astype(int)
    right = pixels[:, pixels.shape[1] // 2 : int(pixels.shape[1] * 0.87)]
    bright = np.argwhere((right[..., 0] > 200) & (right[..., 2] < 200))  # light yellow of the colour map
    assert len(bright) > 100
    assert bright[:, 0].mean() < 0.4 * pixels.shape[0]
    assert bright[:, 1].mean() < 0.4 * right.shape[1]


def test_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "never.png"
    with pytest.raises(UsageError, match=r"^rows: expected at least one comparison, got none$"):
        save_comparison(path, [])
    other = Comparison("b", np.zeros((8, 8, 3), np.uint8), 0, {"hard": np.zeros((1, 1))})
    with pytest.raises(UsageError, match=r"^rows: expected the maps hard, soft, predicted in every row$"):
        save_comparison(path, [comparison(8, 8), other])
    with pytest.raises(UsageError, match=r"^counts: expected at least one image, got none$"):
        save_count_scatter(path, [], [], "x")
    with pytest.raises(UsageError, match=r"^curves: expected at least one positive loss, got none$"):
        save_loss_curves(path, {"inter": ([1], [0.0])})
    with pytest.raises(UsageError, match=r"^curves: 'intra' has 1 steps and 2 values$"):
        save_loss_curves(path, {"intra": ([1], [1.0, 2.0])})
    with pytest.raises(UsageError, match=r"^models: expected 2 features \(C, h, w\) of 'student'$"):
        save_feature_means(path, np.zeros((8, 8, 3), np.uint8), ("a", "b"), {"student": features(1, 2)})
    with pytest.raises(UsageError, match=r"^models: expected at least one model and one level$"):
        save_feature_means(path, np.zeros((8, 8, 3), np.uint8), ("a",), {})
    assert not path.exists()


def test_running_mean_by_hand() -> None:
    """Windows of three: ends use what there is, gaps are bridged by their neighbours."""
    values = np.array([1.0, 3.0, np.nan, 7.0])
    np.testing.assert_allclose(_running_mean(values), [2.0, 2.0, 5.0, 7.0])
    assert np.isnan(_running_mean(np.array([np.nan]))).all()


def test_correlation_by_hand() -> None:
    first = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert _correlation(first, 10 * first + 3) == pytest.approx(1.0)
    assert _correlation(first, -first) == pytest.approx(-1.0)
    assert _correlation(first, np.ones((2, 2))) == 0.0
