from tests.conformance.backends import Reference
from tests.conformance.suite import Conformance


class TestReference(Conformance):
    backend = Reference()
