"""What nvcc made of the kernels: nothing spills, and nothing needs more than csrc/kernel_budget.csv allows."""

import json
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.conformance.emulation import ROOT


def load_tool() -> ModuleType:
    spec = spec_from_file_location("kernel_evidence", ROOT / "tools" / "kernel_evidence.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["kernel_evidence"] = module
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def kernel(**changes):
    values = dict(
        kernel="k",
        architecture="sm_90",
        registers=64,
        stack=0,
        shared=32,
        threads=256,
        loads_16=4,
        stores_16=2,
    )
    return tool.Compiled(**(values | changes))


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    path = tmp_path / "budget.csv"
    tool.write_budget([kernel(), kernel(architecture="sm_75")], path, "13.0")
    assert tool.toolkit_of_budget(path) == "13.0"
    return path


def test_a_kernel_within_the_budget_passes(budget):
    assert tool.regressions([kernel(), kernel(registers=60, loads_16=8)], budget) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"registers": 65}, "k on sm_90: 65 registers, the budget has 64"),
        ({"shared": 64}, "k on sm_90: 64 bytes of static shared memory, the budget has 32"),
        ({"loads_16": 3}, "k on sm_90: 3 loads of 16 bytes, the budget has 4"),
        ({"stores_16": 0}, "k on sm_90: 0 stores of 16 bytes, the budget has 2"),
        ({"kernel": "other"}, "other on sm_90: not in budget.csv"),
    ],
)
def test_each_regression_is_named(budget, changes, message):
    assert tool.regressions([kernel(**changes)], budget) == [message]


def test_a_spill_is_named():
    expected = "k on sm_90: 8 bytes of stack, 2 instructions on local memory"
    assert tool.spills([kernel(), kernel(stack=8, spills=2)]) == [expected]


@pytest.mark.parametrize(
    ("architecture", "registers", "shared", "blocks"),
    [
        ("sm_80", 32, 0, 8),  # 2048 threads
        ("sm_80", 64, 0, 4),  # 65536 registers
        ("sm_86", 64, 32 << 10, 3),  # 100 KiB, one of them reserved for each block
        ("sm_75", 64, 32 << 10, 2),  # 64 KiB, nothing reserved
        ("sm_90", 33, 0, 6),  # registers come in multiples of 8
    ],
)
def test_blocks_on_a_multiprocessor(architecture, registers, shared, blocks):
    compiled = kernel(architecture=architecture, registers=registers, shared=0)
    assert compiled.blocks(shared) == blocks


@pytest.fixture(scope="module")
def library() -> Path:
    package = find_spec("skt_ext")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "_C.so"
    if not library.exists():
        pytest.skip(f"{library} was not built")
    torch = pytest.importorskip("torch")
    torch.ops.load_library(str(library))
    build = json.loads(torch.ops.skt_ext.build_info())
    if build["cuda"] is None:
        pytest.skip("the library was built without CUDA")
    if tool.cuobjdump() is None:
        pytest.skip("no cuobjdump: neither triton nor a CUDA toolkit is installed")
    return library


@pytest.fixture(scope="module")
def compiled(library: Path) -> list:
    return tool.read(library)


def test_no_kernel_spills(compiled):
    assert compiled
    assert tool.spills(compiled) == []


def test_no_kernel_is_worse_than_its_budget(library, compiled):
    if not tool.BUDGET.exists():
        pytest.skip(f"no {tool.BUDGET.name}: python tools/kernel_evidence.py --update writes it")
    if (used := tool.toolkit_of(library)) != (of_budget := tool.toolkit_of_budget(tool.BUDGET)):
        pytest.skip(f"the library was built with CUDA {used}, the budget with {of_budget}")
    if not {k.architecture for k in compiled} <= set(tool.ARCHITECTURES):
        pytest.skip("the library was built for other architectures than the budget's")
    assert tool.regressions(compiled, tool.BUDGET) == []
