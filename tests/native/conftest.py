"""The native library's operators, called through torch.ops without the Python of skt_ext in between."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session")
def library_path() -> Path:
    """The built library, or another one that $SKT_NATIVE_LIBRARY names (tests/emulation does)."""
    if named := os.environ.get("SKT_NATIVE_LIBRARY"):
        return Path(named)
    if os.environ.get("SKT_EXT_NO_NATIVE", "") not in ("", "0"):
        pytest.skip("SKT_EXT_NO_NATIVE is set")
    package = importlib.util.find_spec("skt_ext")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "_C.so"
    if not path.exists():
        pytest.skip(f"{path} was not built")
    return path


@pytest.fixture(scope="session")
def ops(library_path: Path) -> Any:
    torch.ops.load_library(str(library_path))
    return torch.ops.skt_ext


@pytest.fixture(params=[1, 2], ids=["one_thread", "two_threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def on_threads() -> Iterator[Any]:
    """on_threads(n, function): the function's result with n threads."""
    before = torch.get_num_threads()

    def run(count: int, function: Any) -> Any:
        torch.set_num_threads(count)
        return function()

    yield run
    torch.set_num_threads(before)
