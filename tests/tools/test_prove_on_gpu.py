"""The rehearsal of the proof on a GPU: its stages run on the CPU, and a failure is written down, not lost."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import skt_ext
from skt_ext.ops import OPERATORS

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prove_on_gpu.py"
LIBRARY = skt_ext.build_info()["library"]


def rehearse(folder: Path, library: str, *stages: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, report.json and report.md."""
    command = [
        sys.executable,
        str(TOOL),
        "--device",
        "cpu",
        "--quick",
        "--output",
        str(folder),
        "--library",
        library,
    ]
    done = subprocess.run([*command, "--stages", *stages], capture_output=True, text=True, timeout=300)
    assert (folder / "report.json").exists(), done.stdout + done.stderr
    return (
        done.returncode,
        json.loads((folder / "report.json").read_text()),
        (folder / "report.md").read_text(),
    )


@pytest.mark.skipif(LIBRARY is None, reason="no native library")
def test_a_rehearsal_passes_and_its_page_has_every_operator(tmp_path):
    code, report, page = rehearse(tmp_path, LIBRARY, "machine", "build", "suite", "kernels", "calls")
    assert code == 0, page
    assert [stage["status"] for stage in report["stages"]] == ["passed"] * 5
    rows = report["stages"][3]["found"]["rows"]
    timed = {row["operator"] for row in rows if row["microseconds"] > 0}
    assert timed == OPERATORS.keys() - {"geodesic_neighbors"}
    for row in rows:
        assert f"| {row['operator']} | {row['dtype']} | native |" in page
    assert "everything passed" in page.splitlines()[0]
    assert "A rehearsal on the CPU: no figure below is a GPU's." in page


def test_the_suite_of_a_device_is_there():
    text = TOOL.read_text()
    suites = re.findall(r'"(tests/\S+\.py)"', text)
    assert suites == ["tests/conformance/test_cuda.py", "tests/conformance/test_native.py"]
    assert all((TOOL.parents[1] / suite).exists() for suite in suites)


def test_a_failed_stage_is_written_down_and_the_next_goes_on(tmp_path):
    code, report, page = rehearse(
        tmp_path, str(tmp_path / "absent.so"), "build", "kernels", "memcheck", "machine"
    )
    assert code == 1
    assert {stage["name"]: stage["status"] for stage in report["stages"]} == {
        "machine": "passed", "build": "failed", "kernels": "skipped", "memcheck": "skipped",
    }  # fmt: skip
    assert "1 of 4 stages failed" in page.splitlines()[0]
    assert "absent.so" in page.partition("The end of what failed stages said")[2]
    assert "the library was not built" in page
    assert "needs a GPU" in page
