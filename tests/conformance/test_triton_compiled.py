"""The Triton kernels compile for every architecture, without spills, and as the committed table says."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs/results/triton_kernels.csv"


def rows_of(table: Path) -> dict[tuple[str, str], dict[str, str]]:
    with table.open(newline="") as file:
        return {(row["kernel"], row["architecture"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    table = tmp_path_factory.mktemp("compiled") / "kernels.csv"
    command = [sys.executable, str(ROOT / "tools/compile_triton.py"), str(table)]
    subprocess.run(command, check=True, capture_output=True)
    return rows_of(table)


def test_every_kernel_and_architecture(compiled):
    assert compiled.keys() == rows_of(TABLE).keys()
    assert {architecture for _, architecture in compiled} == {"sm_80", "sm_90", "sm_100", "sm_120"}


def test_nothing_is_spilled(compiled):
    assert {name: row["stack"] for name, row in compiled.items() if row["stack"] != "0"} == {}


def test_the_committed_table(compiled):
    committed = rows_of(TABLE)
    version = next(iter(committed.values()))["triton"]
    if triton.__version__ != version:
        pytest.skip(
            f"the table is of triton {version}, this is {triton.__version__}: its compiler may differ"
        )
    assert compiled == committed
