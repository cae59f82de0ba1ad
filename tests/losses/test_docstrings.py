"""Every public function says what it takes, gives and raises, and carries an example that runs."""

import doctest
import inspect

import pytest

import skt_ext
from skt_ext import _library, _transfer, density, losses, sigma

PUBLIC = {
    **{name: getattr(losses, name) for name in losses.__all__ if name != "TransferLoss"},
    **{name: getattr(density, name) for name in density.__all__},
    "build_info": skt_ext.build_info,
}


@pytest.mark.parametrize("module", [losses, _transfer, density, sigma, _library], ids=lambda m: m.__name__)
def test_examples(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_section(name):
    text = inspect.getdoc(PUBLIC[name])
    assert "\nExample:\n    >>>" in text
    parameters = inspect.signature(PUBLIC[name]).parameters
    for parameter in parameters:
        assert f"\n    {parameter}: " in text, parameter
    assert ("\nArgs:\n" in text) == ("\nRaises:\n" in text) == bool(parameters)
    assert "\nReturns:\n" in text or inspect.isclass(PUBLIC[name])
