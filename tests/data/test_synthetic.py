"""Synthetic crowds: exact numbers, points that are on heads, and no image like another."""

import numpy as np
import pytest

from skt_crowd.data import SyntheticCrowds, render_crowd
from skt_crowd.data.synthetic import figures as _figures
from skt_crowd.data.synthetic.people import People, paint_people
from skt_crowd.data.synthetic.scenery import Camera, Light
from skt_crowd.errors import UsageError


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (97, 131), (256, 64)])
@pytest.mark.parametrize("people", [0, 1, 3, 15])
def test_exactly_as_many_people_as_asked(size, people):
    sample = render_crowd(people, size, people=people)
    assert (sample.image.shape, sample.image.dtype) == ((*size, 3), np.uint8)
    assert (sample.points.shape, sample.points.dtype) == ((people, 2), np.float64)
    assert sample.outside == 0
    assert ((sample.points >= 0) & (sample.points < (size[1], size[0]))).all()


@pytest.mark.parametrize(("size", "people"), [((128, 128), 120), ((256, 256), 400), ((48, 48), 20)])
def test_dense_crowds_fit(size, people):
    assert len(render_crowd(5, size, people=people).points) == people


def test_the_same_arguments_give_the_same_image():
    first, second = (render_crowd(11, (64, 80), people=9) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.points, second.points)
    assert not np.array_equal(first.image, render_crowd(12, (64, 80), people=9).image)


def test_what_was_drawn_before_does_not_matter():
    warm = render_crowd(11, (64, 80), people=9).image
    _figures.figure.cache_clear()
    np.testing.assert_array_equal(render_crowd(11, (64, 80), people=9).image, warm)


def test_the_number_of_people_is_drawn_where_it_is_not_given():
    counts = [len(render_crowd(seed, (64, 64)).points) for seed in range(20)]
    assert len(set(counts)) > 5
    assert max(counts) <= 64 * 64 / 300


def test_points_are_the_centres_of_the_painted_heads():
    """A lone person on black: the head is what is painted from the top down to two radii below it."""
    camera, light = Camera(96, 96, -30.0, 40.0), Light(np.array([0.0, -1.0]), 0.5)
    for seed in range(12):
        canvas = np.zeros((3, 96, 96), np.float32)
        wanted = np.array([[48.3, 40.7]])
        points = paint_people(
            np.random.default_rng(seed), canvas, camera, light, [], People(wanted, np.array([40.0]))
        )
        x, y = points[0]
        assert np.abs(points - wanted).max() <= 0.5  # drawings start at whole pixels, and points follow them
        rows = np.flatnonzero(canvas.max(axis=(0, 2)) > 0.005)
        assert y - rows[0] == pytest.approx(0.085 * 40, abs=1.5)
        columns = np.flatnonzero(canvas[:, int(y)].max(axis=0) > 0.005)
        beside = columns[np.abs(columns - x) < 0.12 * 40]  # without a raised hand
        assert (beside[0] + beside[-1] + 1) / 2 == pytest.approx(x, abs=1.6)


def test_people_are_larger_towards_the_bottom():
    camera = Camera(100, 100, -50.0, 60.0)
    assert camera.person(100.0) == 60.0
    assert camera.person(25.0) == 30.0
    assert camera.person(-50.0) == 0.0


def test_heads_are_apart():
    points = render_crowd(3, (128, 128), people=100).points
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(100)
    assert distance.min() > 0.5


def test_the_empty_scene_is_not_plain():
    """Counting must not be a matter of finding anything at all on an even ground."""
    spread = [render_crowd(seed, (96, 96), people=0).image.std() for seed in range(8)]
    assert min(spread) > 2
    assert max(spread) > 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"seed": 0, "size": (31, 64)}, "size: expected at least 32 x 32 pixels, got 31 x 64"),
        ({"seed": 0, "people": -1}, "people: expected at least 0, got -1"),
        ({"seed": 0, "size": (32, 32), "people": 5000}, "people: no room for 5000 in 32 x 32 pixels"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        render_crowd(**arguments)


def test_data_set():
    crowds = SyntheticCrowds(length=3, height=64, width=80, people_min=2, people_max=9, seed=4)
    assert (crowds.kind, len(crowds), crowds.names) == (
        "synthetic",
        3,
        ["train_00000", "train_00001", "train_00002"],
    )
    assert crowds.image_path(0) is None
    for index, name in enumerate(crowds.names):
        sample = crowds[index]
        assert sample.name == name
        assert sample.image.shape == (64, 80, 3)
        assert 2 <= len(sample.points) <= 9
    with pytest.raises(IndexError):
        crowds[3]


def test_sample_i_depends_on_seed_split_and_i_alone():
    crowds = SyntheticCrowds(length=3)
    np.testing.assert_array_equal(crowds[2].image, SyntheticCrowds(length=10)[2].image)
    np.testing.assert_array_equal(crowds[-1].image, crowds[2].image)
    others = SyntheticCrowds(length=3, split="test")[2], SyntheticCrowds(length=3, seed=1)[2], crowds[1]
    assert all(not np.array_equal(crowds[2].image, other.image) for other in others)


def test_counts_cover_the_range():
    counts = [len(sample.points) for sample in SyntheticCrowds(length=60, height=64, width=64, people_max=8)]
    assert set(counts) == {3, 4, 5, 6, 7, 8}
    assert counts.count(3) > counts.count(8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "split: expected one of train, test, got 'val'"),
        ({"length": 0}, "length and seed: expected at least 1 and 0, got 0 and 0"),
        ({"seed": -1}, "length and seed: expected at least 1 and 0, got 256 and -1"),
        ({"height": 8}, "height and width: expected at least 32, got 8 and 128"),
        ({"people_min": 9, "people_max": 3}, "people_min and people_max: expected 0 <= min <= max, got 9, 3"),
    ],
)
def test_data_set_arguments_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        SyntheticCrowds(**arguments)
