"""The examples in the docstrings of evaluation, and of the losses and crops beside it, do what they show."""

import doctest
import importlib

import pytest

MODULES = [
    *(
        f"skt_crowd.evaluation.{name}"
        for name in (
            "tiling",
            "cells",
            "memory",
            "protocols",
            "map_quality",
            "similarity",
            "intervals",
            "metrics",
        )
    ),
    *(f"skt_crowd.distillation.{name}" for name in ("bayesian_loss", "structural_losses", "cell_counts")),
    "skt_crowd.data.presence",
    "skt_crowd.recipes.recipe_file",
    "skt_crowd.cli.counting_options",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0
