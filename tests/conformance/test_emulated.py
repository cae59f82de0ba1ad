from tests.conformance.backends import Emulated
from tests.conformance.suite import Conformance


class TestEmulated(Conformance):
    backend = Emulated()
