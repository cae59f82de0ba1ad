"""Every public function carries an example, and every example runs."""

import doctest
import inspect

import pytest

import skt_ext
from skt_ext import density, losses


@pytest.mark.parametrize("module", [losses, density, skt_ext._library], ids=lambda module: module.__name__)
def test_examples(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("module", [losses, density], ids=lambda module: module.__name__)
def test_every_public_name_has_an_example(module):
    for name in module.__all__:
        if name != "TransferLoss":
            assert ">>>" in inspect.getdoc(getattr(module, name)), name
