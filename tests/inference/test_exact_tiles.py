"""Tiles with a halo are the whole image, to the last bit that rounding leaves; without enough of it they are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_crowd.errors import UsageError
from skt_crowd.inference import Predictor
from skt_crowd.inference.tiling import halo_tiles, quadrants, split_evenly, tile_side
from skt_crowd.models import CSRNet, DSSINet, Tiling


@pytest.fixture(scope="module")
def exact() -> CSRNet:
    torch.manual_seed(0)
    return CSRNet("1/16").double()


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [
        (401, 523, (128, 128)),  # odd sizes, tiles with neighbours on all sides
        (303, 640, (300, 96)),  # a side that is no multiple of the stride
        (130, 517, (512, 16)),  # lower than a tile, as narrow as tiles get
    ],
)
def test_csrnet_in_tiles_is_csrnet_at_once(
    exact: CSRNet, height: int, width: int, side: tuple[int, int]
) -> None:
    predictor = Predictor(exact)
    image = random_image(height, width)
    whole, tiled = predictor.whole(image), predictor.tiles(image, side)
    assert whole.passes == 1
    assert tiled.passes > 3
    expected, density = whole.parts[0].density, tiled.parts[0].density
    assert density.shape == (-(-height // 8), -(-width // 8))
    assert density.dtype == np.float64
    assert np.abs(density - expected).max() <= 1e-12 * np.abs(expected).max()


def test_a_map_of_the_images_size_is_put_together_too() -> None:
    torch.manual_seed(0)
    predictor = Predictor(DSSINet("1/16").double())
    image = random_image(211, 357)
    whole, tiled = predictor.whole(image), predictor.tiles(image, (512, 96))
    assert tiled.passes == 4
    assert tiled.parts[0].density.shape == (211, 357)
    np.testing.assert_allclose(tiled.parts[0].density, whole.parts[0].density, rtol=1e-11, atol=1e-15)


def test_a_halo_one_cell_smaller_is_not_enough(exact: CSRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    image = random_image(401, 523)
    expected = Predictor(exact).whole(image).parts[0].density
    monkeypatch.setattr(CSRNet, "tiling", replace(CSRNet.tiling, halo=136))
    density = Predictor(exact).tiles(image, (128, 128)).parts[0].density
    assert np.abs(density - expected).max() > 1e-9 * np.abs(expected).max()


def test_an_image_smaller_than_a_tile_is_seen_at_once(exact: CSRNet) -> None:
    assert Predictor(exact).tiles(random_image(33, 1), (512, 512)).passes == 1


def test_a_small_budget_makes_tiles_of_the_same_map(exact: CSRNet) -> None:
    image = random_image(620, 701)
    tight = Predictor(exact, memory_budget=230 * 2**20).whole(image)
    assert tight.passes > 1
    np.testing.assert_allclose(
        tight.parts[0].density, Predictor(exact).whole(image).parts[0].density, rtol=1e-11, atol=1e-13
    )


def test_a_model_whose_tiles_differ_says_so(exact: CSRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CSRNet, "tiling", Tiling(False, 8, 0, "it looks everywhere"))
    with pytest.raises(
        UsageError, match=r"an image of 701 x 620 pixels takes about .*\(it looks everywhere\)"
    ):
        Predictor(exact, memory_budget=230 * 2**20).whole(random_image(620, 701))
    with pytest.raises(
        UsageError, match=r"no halo makes the map of a tile equal to that part of the whole map \(it looks"
    ):
        Predictor(exact).tiles(random_image(620, 701), (512, 512))
    assert Predictor(exact).whole(random_image(620, 701)).passes == 1  # it fits the default budget


def test_a_budget_too_small_for_any_tile(exact: CSRNet) -> None:
    with pytest.raises(
        UsageError, match=r"^memory budget: room for 0 pixels at a time, but the smallest tile"
    ):
        Predictor(exact, memory_budget=1).whole(random_image(620, 701))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    halo=st.sampled_from([16, 48, 96, 144]),
    tall=st.integers(1, 500),
    wide=st.integers(1, 500),
)
def test_cores_cover_the_image_once_and_start_on_cells(
    height: int, width: int, halo: int, tall: int, wide: int
) -> None:
    covered = np.zeros((height, width), np.int64)
    for core, seen in halo_tiles((height, width), Tiling(True, 16, halo, ""), (max(tall, 50), max(wide, 50))):
        covered[core.top : core.bottom, core.left : core.right] += 1
        assert (seen.top, seen.left) == (max(core.top - halo, 0), max(core.left - halo, 0))
        assert seen.bottom == min(core.bottom + halo, height)
        assert seen.right == min(core.right + halo, width)
        assert all(edge % 16 == 0 for edge in (core.top, core.left, seen.top, seen.left))
    assert (covered == 1).all()


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 5000), width=st.integers(1, 5000), budget=st.integers(110_000, 3_000_000))
def test_no_tile_sees_more_than_there_is_room_for(height: int, width: int, budget: int) -> None:
    plan = halo_tiles((height, width), CSRNet.tiling, tile_side((height, width), CSRNet.tiling, budget))
    assert max((seen.bottom - seen.top) * (seen.right - seen.left) for _, seen in plan) <= budget
    assert len(plan) == 1 or height * width > budget


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((511, 512), [511], [256, 256]),
        ((1025, 1), [341, 341, 343], [1]),
        ((600, 1600), [300, 300], [400] * 4),
    ],
)
def test_released_tiles(shape: tuple[int, int], rows: list[int], columns: list[int]) -> None:
    boxes = split_evenly(shape, 512)
    assert len(boxes) == len(rows) * len(columns)
    assert [box.bottom - box.top for box in boxes[:: len(columns)]] == rows
    assert [box.right - box.left for box in boxes[: len(columns)]] == columns


def test_parts_of_a_tiny_image_are_never_empty() -> None:
    for shape in [(1, 1), (1, 3), (2, 2)]:
        for boxes in (quadrants(shape), split_evenly(shape, 1)):
            assert (
                sum((box.bottom - box.top) * (box.right - box.left) for box in boxes) == shape[0] * shape[1]
            )
            assert all(box.bottom > box.top and box.right > box.left for box in boxes)
