"""MCNN's own conventions: gray from normalised colours, sides that are multiples of four, cells of the image."""

import math

import numpy as np
import pytest
import torch

from skt_crowd.data import normalize_image
from skt_crowd.models import MCNN
from skt_crowd.models.mcnn import _gray, _rows


def test_gray_is_the_luma_of_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    expected = (image @ np.array([0.299, 0.587, 0.114])).round()
    gray = _gray(normalize_image(image)[None])
    assert gray.shape == (1, 1, 9, 13)
    np.testing.assert_array_equal(gray[0, 0].numpy(), expected)


@pytest.mark.parametrize(("height", "width"), [(17, 30), (3, 41), (1, 1), (43, 2)])
def test_bringing_the_map_back_to_the_image_keeps_the_count(height: int, width: int) -> None:
    density = torch.rand(1, 1, max(1, height // 4), max(1, width // 4), dtype=torch.float64)
    rows, columns = _rows(height, density), _rows(width, density)
    result = rows @ density @ columns.T
    assert result.shape == (1, 1, math.ceil(height / 4), math.ceil(width / 4))
    torch.testing.assert_close(result.sum(), density.sum())
    assert (result >= 0).all()


def test_cells_share_the_map_by_the_area_they_cover() -> None:
    """9 rows: two cells of 4.5 rows each become cells of 4, 4 and 1 row."""
    expected = torch.tensor([[4 / 4.5, 0], [0.5 / 4.5, 3.5 / 4.5], [0, 1 / 4.5]], dtype=torch.float64)
    torch.testing.assert_close(_rows(9, expected), expected)


def test_sides_that_are_multiples_of_four_are_left_alone() -> None:
    model = MCNN("1/2").double()
    image = torch.randn(1, 3, 16, 24, dtype=torch.float64)
    feature = torch.cat([column(_gray(image)) for column in model.columns], dim=1)
    assert torch.equal(model(image), model.fuse(feature).relu())


def test_the_map_is_never_negative() -> None:
    torch.manual_seed(0)
    assert MCNN("1/2")(torch.randn(1, 3, 16, 24)).min() >= 0
