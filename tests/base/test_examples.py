"""The examples in the docstrings of the application do what they show."""

import doctest
import importlib
import pkgutil

import pytest

import skt_crowd

MODULES = [
    module.name
    for module in pkgutil.walk_packages(skt_crowd.__path__, "skt_crowd.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 50
