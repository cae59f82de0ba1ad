"""When the Triton kernels are used, and that nothing is imported before."""

import subprocess
import sys

import pytest

import skt_ext
from skt_ext import _library


def test_used_on_cuda_where_the_library_has_no_kernel():
    pytest.importorskip("triton")
    if _library.REFERENCE_ONLY:
        pytest.skip("SKT_EXT_NO_NATIVE asks for the reference")
    operators = skt_ext.build_info()["operators"]
    for name in ("density_splat", "geodesic_splat"):
        assert operators[name]["cuda"] in ("native", "triton")
        assert operators[name]["cpu"] in ("native", "reference")
    assert operators["geodesic_neighbors"]["cuda"] == "reference"


def test_not_imported_until_used():
    program = "import sys, skt_ext.density; print('skt_ext._triton' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
