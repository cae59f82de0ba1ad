"""Operators inside graphs of torch.compile, which must not break."""

from tests.conformance.backends import Compiled
from tests.conformance.suite import Differentiable


class TestCompiled(Differentiable):
    backend = Compiled()
