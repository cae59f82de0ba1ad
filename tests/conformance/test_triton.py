"""The Triton kernels in Triton's interpreter, which must be asked for before triton is imported."""

import importlib.util

import pytest

from tests.conformance.backends import Triton
from tests.conformance.subprocesses import inside, run_tests
from tests.conformance.suite import Conformance

INSIDE = "SKT_INTERPRETED"

if inside(INSIDE):

    class TestTriton(Conformance):
        backend = Triton()

elif importlib.util.find_spec("triton"):

    @pytest.mark.parametrize("operator", ["density_splat", "geodesic_splat"])
    def test_interpreted(operator):
        run_tests(__file__, INSIDE, {"TRITON_INTERPRET": "1"}, "-k", operator)
