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

    @pytest.mark.parametrize("operator", ["cosine_loss", "pool_and_pack", "dense_fsp_distance", "embedded_distance"])
    def test_under_sanitizers(request, operator):
        if reason := emulation.why_not():
            pytest.skip(reason)
        emulation.builder(request.config).module("operators", "sanitized")
        which = f"{operator} or rescale_" if operator == "cosine_loss" else operator
        run_tests(__file__, INSIDE, emulation.environment(request.config), "-k", which)
