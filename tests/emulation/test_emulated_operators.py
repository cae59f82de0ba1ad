"""The CUDA operators whole, host code included, on CPU tensors: they pass the tests of the native CPU operators.

What this adds to the tests of single kernels: which kernel and launch the host code chooses for a layout, an alignment
and a size, and what it checks and allocates.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulation.emulated import ROOT, Drivers

# Files of tests/native, by the operator whose CUDA source they judge.
TESTS = {
    "cosine_distance": "test_native_cosine_distance.py",
    "cosine_loss": "test_native_cosine_loss.py",
    "max_pool_resize": "test_native_max_pool_resize.py",
    "pool_and_pack": "test_native_pool_and_pack.py",
    "dense_fsp_distance": "test_native_dense_fsp_distance.py",
    "embedded_distance": "test_native_embedded_distance.py",
}


@pytest.fixture(scope="module")
def library(drivers: Drivers) -> Path:
    return drivers.builder.operators().result()


@pytest.mark.parametrize(
    ("operator", "order"), [(name, order) for name in TESTS for order in ("forward", "random")]
)
def test_operator_passes_the_tests_of_the_native_library(library, operator, order):
    tests = ROOT / "tests" / "native" / TESTS[operator]
    if not tests.exists():
        pytest.skip(f"{tests} is not there")
    environment = dict(
        os.environ, SKT_NATIVE_LIBRARY=str(library), SKT_EMULATION_ORDER=order, OMP_NUM_THREADS="1"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
