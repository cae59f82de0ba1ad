"""The held-out part is fixed by names and seed."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_crowd.data import hold_out
from skt_crowd.errors import UsageError

NAMES = [f"IMG_{number}" for number in range(1, 301)]


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.text(), min_size=2, unique=True), fraction=st.floats(0, 0.5), seed=st.integers(-5, 5)
)
def test_a_partition(names, fraction, seed):
    train, held = hold_out(names, fraction, seed)
    assert sorted(train + held) == list(range(len(names)))
    assert (train, held) == (sorted(train), sorted(held))
    assert train
    assert bool(held) == (fraction > 0)


def test_size():
    assert [len(hold_out(NAMES, fraction, 0)[1]) for fraction in (0, 0.001, 0.1, 0.5)] == [0, 1, 30, 150]


def test_it_never_changes():
    """Models were selected on this part; another one would let them see it in training."""
    held = hold_out(NAMES, 0.1, 0)[1]
    assert [NAMES[index] for index in held][:5] == ["IMG_11", "IMG_40", "IMG_41", "IMG_42", "IMG_48"]


def test_the_order_of_the_names_does_not_matter():
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    held = {NAMES[index] for index in hold_out(NAMES, 0.1, 0)[1]}
    assert {shuffled[index] for index in hold_out(shuffled, 0.1, 0)[1]} == held


def test_seeds_differ():
    assert hold_out(NAMES, 0.1, 0) != hold_out(NAMES, 0.1, 1)


def test_more_images_keep_most_of_the_choice():
    before = {NAMES[index] for index in hold_out(NAMES, 0.1, 0)[1]}
    more = [*NAMES, "new_1", "new_2", "new_3"]
    after = {more[index] for index in hold_out(more, 0.1, 0)[1]}
    assert len(before & after) >= 27


@pytest.mark.parametrize(
    ("names", "fraction", "message"),
    [
        (["a", "b"], 1.0, "expected 0 <= fraction < 1, got 1.0"),
        (["a", "b"], -0.1, "expected 0 <= fraction < 1, got -0.1"),
        (["a", "b"], float("nan"), "expected 0 <= fraction < 1, got nan"),
        (["a", "b", "a"], 0.1, "names: 'a' occurs more than once"),
        (["a"], 0.1, "0.1 of 1 images leaves none to train on"),
        ([], 0.0, "0.0 of 0 images leaves none to train on"),
    ],
)
def test_what_cannot_be_split(names, fraction, message):
    with pytest.raises(UsageError, match=message):
        hold_out(names, fraction, 0)
