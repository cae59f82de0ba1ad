"""Training crops: what is in them, and that item i is a function of the seed and i alone."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from skt_crowd.data import (
    CrowdSample,
    SigmaRule,
    SyntheticCrowds,
    TrainingBatch,
    TrainingCrops,
    VisibilityRule,
    make_target,
    normalize_image,
)
from skt_crowd.data.crops import ByteCache
from skt_crowd.errors import UsageError
from skt_crowd.geometry import Box, flip_horizontally, random_box


class Marked:
    """Images whose people are bright pixels, so that an image says where its points are."""

    kind = "marked"

    def __init__(self, shapes):
        self.names = [f"image_{index}" for index in range(len(shapes))]
        self.shapes = shapes
        self.reads = 0

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        self.reads += 1
        rng = np.random.default_rng(index)
        height, width = self.shapes[index]
        image = np.zeros((height, width, 3), np.uint8)
        pixels = rng.choice(height * width, size=min(30, height * width // 4), replace=False)
        rows, columns = np.divmod(pixels, width)
        image[rows, columns] = 255
        points = np.stack([columns, rows], axis=1) + rng.uniform(0.01, 0.99, (len(pixels), 2))
        return CrowdSample(self.names[index], image, points, 0)

    def image_path(self, index):
        return None


SHAPES = [(60, 70), (33, 90), (20, 15), (64, 64), (1, 1)]
SHARP = SigmaRule(kind="fixed", value=0.01)  # kernels of a single pixel


def crops(dataset=None, indices=None, **changes) -> TrainingCrops:
    dataset = dataset if dataset is not None else Marked(SHAPES)
    arguments = {"crop": 32, "flip_probability": 0.5, "seed": 7, "stride": 8, "sigma": SigmaRule()} | changes
    return TrainingCrops(dataset, list(range(len(dataset))) if indices is None else indices, **arguments)


def same(first, second) -> bool:
    """Equal crops, or equal batches of them."""
    tensors = (torch.equal(a, b) for a, b in zip(first, second, strict=True) if isinstance(a, torch.Tensor))
    return all(tensors) and len(first) == len(second)


@pytest.mark.parametrize(("crop", "stride"), [(32, 8), (37, 8), (5, 3), (16, 16), (1, 8)])
def test_shapes(crop, stride):
    item = crops(crop=crop, stride=stride)[3]
    cells = -(-crop // stride)
    assert tuple(item.image.shape) == (3, crop, crop)
    assert tuple(item.target.shape) == (1, cells, cells)
    assert item.people.shape == ()
    assert {part.dtype for part in item[:4]} == {torch.float32}
    assert item.points.shape == (0, 3)  # no rule, no points
    assert item.shorter_side == 33.0  # of an image of 33 x 90


def test_image_target_and_points_stay_together():
    """Sharp kernels at stride 1: the target is where the bright pixels are, flipped or not, padded or not."""
    bright = normalize_image(np.full((1, 1, 3), 255, np.uint8))[:, 0, 0]
    seen = crops(stride=1, sigma=SHARP)
    for number in range(40):
        item = seen[number]
        people = (item.image == bright[:, None, None]).all(dim=0)
        assert torch.equal(item.target[0], people.float())
        assert item.people.item() == people.sum().item()


def test_flips_happen_as_often_as_asked():
    never, always, half = (crops(flip_probability=p, crop=64, indices=[3]) for p in (0.0, 1.0, 0.5))
    image = normalize_image(Marked(SHAPES)[3].image)
    assert all(torch.equal(never[i].image, image) for i in range(5))
    assert all(torch.equal(always[i].image, image.flip(2)) for i in range(5))
    flipped = sum(torch.equal(half[i].image, image.flip(2)) for i in range(200))
    assert 70 < flipped < 130


def test_a_small_image_is_padded_right_and_below_with_the_mean_colour():
    item = crops(indices=[2], flip_probability=0.0, stride=1)[0]
    assert torch.equal(item.image[:, :20, :15], normalize_image(Marked(SHAPES)[2].image))
    assert (item.image[:, 20:] == 0).all()
    assert (item.image[:, :, 15:] == 0).all()
    assert (item.target[:, 20:] == 0).all()
    assert (item.target[:, :, 15:] == 0).all()
    assert item.target.sum().item() == pytest.approx(item.people.item(), abs=1e-4)


def test_widths_know_the_neighbours_outside_the_crop():
    """A crop as large as the image has the image's own target."""
    sample = Marked(SHAPES)[3]
    expected = make_target(sample.points, SigmaRule().sigmas(sample.points), (64, 64))
    whole = crops(indices=[3], crop=64, flip_probability=0.0)[0]
    torch.testing.assert_close(whole.target[0], expected)
    crop = crops(indices=[3], crop=32, flip_probability=0.0, stride=1)[0]
    full = make_target(sample.points, SigmaRule().sigmas(sample.points), (64, 64), stride=1)
    places = [
        (top, left)
        for top in range(33)
        for left in range(33)
        if torch.allclose(full[top : top + 32, left : left + 32], crop.target[0], atol=1e-6)
    ]
    assert len(places) == 1


def test_items_do_not_depend_on_what_was_read_before():
    straight, jumping, uncached = crops(), crops(), crops(cache_bytes=0)
    forward = [straight[i] for i in range(15)]
    for i in (14, 3, 9, 3, 0, 12):
        assert same(jumping[i], forward[i])
        assert same(uncached[i], forward[i])


def test_a_resumed_loader_makes_the_same_batches():
    def batches(start, stop, workers=0):
        rule = VisibilityRule()
        loader = DataLoader(
            crops(visibility=rule),
            batch_size=3,
            sampler=range(start, stop),
            num_workers=workers,
            collate_fn=TrainingBatch.of,
        )
        return list(loader)

    whole = batches(0, 18)
    assert [tuple(part.shape) for part in whole[0][:3]] == [(3, 3, 32, 32), (3, 1, 4, 4), (3,)]
    assert len({len(crowd) for batch in whole for crowd in batch.points}) > 2
    resumed = batches(9, 18, workers=1)
    assert len(resumed) == 3
    for a, b in zip(resumed, whole[3:], strict=True):
        assert same(a, b)
        assert same(a.points, b.points)
        assert a.shorter_sides == b.shorter_sides


def test_visibility_by_hand():
    """Squares of 8 pixels in a crop that starts at (16, 8): whole, half, a quarter, and just too little."""
    points = np.array([[30.0, 30.0], [16.0, 30.0], [16.0, 8.0], [13.0, 30.0]])
    found = VisibilityRule(least_share=0.25).within(points, np.full(4, 8.0), Box(8, 16, 72, 80))
    np.testing.assert_allclose(found, [[14, 22, 1], [0, 22, 0.5], [0, 0, 0.25]])
    assert (
        VisibilityRule(least_share=0.25, counts_as="one")
        .within(points, np.full(4, 8.0), Box(8, 16, 72, 80))[:, 2]
        .tolist()
        == [1] * 3
    )


def test_squares_follow_the_neighbours_within_bounds():
    row = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    assert VisibilityRule(box_scale=0.5).sides(row).tolist() == pytest.approx([10.0, 20 / 3, 20 / 3, 10.0])
    assert VisibilityRule(largest_box=15.0).sides(row).tolist() == pytest.approx([15.0, 40 / 3, 40 / 3, 15.0])
    assert VisibilityRule(box_scale=0.01).sides(row).tolist() == [4.0] * 4
    assert VisibilityRule().sides(row[:1]).tolist() == [128.0]
    with pytest.raises(UsageError, match=r"VisibilityRule: largest_box: expected at least 50\.0, got 40\.0"):
        VisibilityRule(smallest_box=50.0, largest_box=40.0)


def test_points_of_a_crop_are_where_the_bright_pixels_are():
    seen = crops(
        stride=1,
        sigma=SHARP,
        visibility=VisibilityRule(box_scale=1e-6, smallest_box=1e-3, largest_box=1e-3, least_share=0.5),
    )
    for number in range(20):
        item = seen[number]
        assert len(item.points) == item.people.item()
        for x, y, visible in item.points:
            assert item.target[0, int(y), int(x)] > 0
            assert visible == pytest.approx(1.0, abs=1e-3)


def test_every_epoch_visits_every_image_once_in_a_new_order():
    some = crops(indices=[4, 0, 2])
    assert len(some) == 3
    epochs = [[some.image_index(3 * epoch + i) for i in range(3)] for epoch in range(20)]
    assert all(sorted(epoch) == [0, 2, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3
    assert some[10**9].image.shape == (3, 32, 32)


def test_seeds_and_epochs_differ():
    one = crops(indices=[0])
    assert not same(one[0], one[1])
    assert not same(one[0], crops(indices=[0], seed=8)[0])


def test_images_are_decoded_once_while_they_fit():
    dataset = Marked(SHAPES)
    cached = crops(dataset)
    for i in range(25):
        cached[i]
    assert dataset.reads == 5
    for i in range(5):
        crops(dataset, cache_bytes=0)[i]
    assert dataset.reads == 10


def test_crops_travel_to_workers():
    assert same(pickle.loads(pickle.dumps(crops()))[2], crops()[2])


def test_synthetic_crowds_can_be_trained_on():
    item = crops(SyntheticCrowds(length=2, people_min=10, people_max=10), crop=128)[0]
    assert item.people.item() == 10
    assert item.target.sum().item() == pytest.approx(10, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": []}, "indices: expected at least one image"),
        ({"crop": 0}, "crop and stride: expected at least 1 pixel, got 0 and 8"),
        ({"flip_probability": 1.5}, "flip_probability: expected 0 to 1, got 1.5"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"boundary": "wrap"}, "boundary: expected conserve or clip, got 'wrap'"),
    ],
)
def test_arguments_out_of_range(changes, message):
    with pytest.raises(UsageError, match=message):
        crops(**changes)


def test_negative_items():
    with pytest.raises(IndexError, match="item: expected at least 0, got -1"):
        crops()[-1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), width=st.integers(1, 50), people=st.integers(0, 9))
def test_flipping_twice_changes_nothing(seed, width, people):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (4, width, 3), dtype=np.uint8)
    points = rng.random((people, 2)) * (width, 4)
    points[:1] = 0.0
    once = flip_horizontally(image, points)
    assert ((once[1] >= 0) & (once[1] < (width, 4))).all()
    twice = flip_horizontally(*once)
    np.testing.assert_array_equal(twice[0], image)
    np.testing.assert_allclose(twice[1], points, atol=1e-9)


def test_flipping_leaves_its_input_alone():
    image, points = np.zeros((2, 8, 3), np.uint8), np.array([[1.0, 1.0]])
    flip_horizontally(image, points)[1][:] = 5
    assert points.tolist() == [[1.0, 1.0]]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(1, 40), width=st.integers(1, 40), crop=st.integers(1, 40))
def test_boxes_lie_in_the_image_or_start_at_its_corner(seed, height, width, crop):
    box = random_box((height, width), crop, np.random.default_rng(seed))
    assert (box.bottom - box.top, box.right - box.left) == (crop, crop)
    assert box.top == 0 or box.bottom <= height
    assert box.left == 0 or box.right <= width
    assert min(box) >= 0


def test_boxes_are_everywhere():
    rng = np.random.default_rng(0)
    tops = [random_box((10, 10), 7, rng).top for _ in range(400)]
    assert [round(tops.count(top) / 100) for top in range(4)] == [1, 1, 1, 1]


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = ByteCache[bytes](10, len)
    cache.get("a", lambda: b"1234")
    cache.get("b", lambda: b"1234")
    cache.get("a", lambda: b"new!")
    cache.get("c", lambda: b"1234")
    assert cache.bytes_held == 8
    assert cache.get("a", lambda: b"new!") == b"1234"
    assert cache.get("b", lambda: b"new!") == b"new!"
    assert cache.get("too large", lambda: b"x" * 11) == b"x" * 11
    assert cache.get("too large", lambda: b"again") == b"again"
