from tests.conformance.backends import Native
from tests.conformance.suite import Conformance


class TestNative(Conformance):
    backend = Native()
