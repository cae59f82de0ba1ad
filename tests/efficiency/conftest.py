"""Timing collects garbage before each turn, which takes long in a test session with all of torch in it."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what is there already is not looked at again
    yield
    gc.unfreeze()
