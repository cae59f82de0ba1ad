"""Sums of maps over parts of the image, against an image in which every cell is painted out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_crowd.geometry import Box
from skt_crowd.inference import MapPart, Prediction


def whole(density: np.ndarray, height: int, width: int, cell: float) -> Prediction:
    return Prediction(height, width, (MapPart(density, Box(0, 0, height, width), (cell, cell)),))


def painted(prediction: Prediction, stride: int) -> np.ndarray:
    """People per pixel, (H, W), for cells of whole pixels."""
    (part,) = prediction.parts
    pixels = np.zeros((prediction.height, prediction.width))
    for row, column in np.ndindex(part.density.shape):
        area = (slice(row * stride, (row + 1) * stride), slice(column * stride, (column + 1) * stride))
        pixels[area] = part.density[row, column] / pixels[area].size
    return pixels


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    stride=st.sampled_from([1, 3, 8]),
)
def test_sums_between_pixels_are_sums_of_pixels(seed: int, height: int, width: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    density = rng.normal(size=(-(-height // stride), -(-width // stride)))
    prediction = whole(density, height, width, stride)
    rows, columns = (np.unique([0, rng.integers(0, side + 1), side]) for side in (height, width))
    pixels = painted(prediction, stride)
    expected = np.add.reduceat(np.add.reduceat(pixels, rows[:-1], axis=0), columns[:-1], axis=1)
    np.testing.assert_allclose(prediction.sums(rows, columns), expected, atol=1e-12)
    assert prediction.sums(rows, columns).sum() == pytest.approx(prediction.count, abs=1e-12)


def test_cells_that_are_cut_give_each_side_its_share() -> None:
    """One cell of 8 x 8 in an image of 6 x 5: a third of its rows and two fifths of its columns."""
    prediction = whole(np.array([[30.0]]), 6, 5, 8)
    sums = prediction.sums(np.array([0.0, 2.0, 6.0]), np.array([0.0, 2.0, 5.0]))
    np.testing.assert_allclose(sums, [[4.0, 6.0], [8.0, 12.0]])


def test_a_map_of_a_resized_image_lies_on_the_original() -> None:
    """2 x 2 cells of 8 pixels in an image that was enlarged from 6 x 8 to 12 x 16."""
    prediction = Prediction(6, 8, (MapPart(np.arange(4.0).reshape(2, 2), Box(0, 0, 6, 8), (4.0, 4.0)),))
    np.testing.assert_allclose(
        prediction.sums(np.array([0.0, 4.0, 6.0]), np.array([0.0, 4.0, 8.0])), [[0, 1], [2, 3]]
    )
    np.testing.assert_allclose(prediction.on_cells(8), [[6.0]])


def test_parts_of_an_image_add_up() -> None:
    left = MapPart(np.ones((1, 2)), Box(0, 0, 8, 10), (8, 8))
    right = MapPart(np.full((1, 1), 5.0), Box(0, 10, 8, 15), (8, 8))
    prediction = Prediction(8, 15, (left, right), passes=2)
    assert prediction.count == 7.0
    np.testing.assert_allclose(prediction.on_cells(8), [[1.0, 6.0]])
    np.testing.assert_allclose(
        prediction.sums(np.array([0.0, 8.0]), np.array([0.0, 9.0, 12.0, 15.0])), [[1.5, 2.5, 3]]
    )


def test_a_region_keeps_the_share_of_each_cell_inside_it() -> None:
    region = np.zeros((8, 20), bool)
    region[:, :9] = True  # the first cell, an eighth of the second; the third has 4 columns
    region[:4, 18:] = True  # half of the last cell's columns, half of its rows
    kept = whole(np.array([[2.0, 8.0, 4.0]]), 8, 20, 8).inside(region)
    np.testing.assert_allclose(kept.parts[0].density, [[2.0, 1.0, 1.0]])
    everything = whole(np.array([[2.0, 8.0, 4.0]]), 8, 20, 8).inside(np.ones((8, 20)))
    np.testing.assert_allclose(everything.parts[0].density, [[2.0, 8.0, 4.0]], rtol=1e-15)


def test_on_cells_is_the_map_itself_where_nothing_was_cut() -> None:
    density = np.ones((2, 3), np.float32)
    assert whole(density, 9, 24, 8).on_cells(8) is density
