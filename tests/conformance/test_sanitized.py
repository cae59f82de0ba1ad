"""The emulated CUDA operators under AddressSanitizer and UBSan, in a process that has them preloaded."""

import pytest

from tests.conformance import emulation
from tests.conformance.backends import Sanitized
from tests.conformance.subprocesses import inside, run_tests
from tests.conformance.suite import Conformance

INSIDE = "SKT_SANITIZED"

if inside(INSIDE):

    class TestSanitized(Conformance):
        backend = Sanitized()

else:

    @pytest.mark.timeout(1800)
    def test_under_sanitizers(request):
        if reason := emulation.why_not():
            pytest.skip(reason)
        emulation.builder(request.config).module("operators", "sanitized")
        run_tests(__file__, INSIDE, emulation.environment(request.config))
