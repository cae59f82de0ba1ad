"""Loading the native library, doing without it, saying which is used; mostly in fresh interpreters."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

import skt_ext
from skt_ext.ops import OPERATORS

PACKAGE = Path(skt_ext.__file__).parent


def run_python(code: str, *, package_parent: Path = PACKAGE.parent, **environment: str) -> tuple[str, str]:
    """(stdout, stderr) of a fresh interpreter that finds skt_ext in package_parent."""
    variables = {**os.environ, "PYTHONPATH": str(package_parent), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=300, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


ALL_LOSSES = """
import json, torch, skt_ext
from skt_ext import density, losses
torch.manual_seed(0)
student = [torch.rand(2, 3, 9, 7, requires_grad=True), torch.rand(2, 4, 5, 4, requires_grad=True)]
teacher = [torch.rand(2, 3, 9, 7), torch.rand(2, 4, 5, 4)]
cosine = losses.cosine_transfer_loss(student[0], teacher[0])
fsp = losses.dense_fsp_loss(student, teacher)
(cosine + fsp).backward()
crowd = density.density_map(torch.rand(20, 2) * 30, (30, 30), 2.0)
values = [cosine, fsp, student[0].grad.norm(), student[1].grad.norm(), crowd.std()]
print(json.dumps({"values": [value.item() for value in values], "info": skt_ext.build_info()}))
"""


def test_the_reference_alone_gives_the_same_losses_and_gradients():
    loaded = json.loads(run_python(ALL_LOSSES)[0])
    output, warnings = run_python(ALL_LOSSES, SKT_EXT_NO_NATIVE="1")
    fallback = json.loads(output)
    torch.testing.assert_close(fallback["values"], loaded["values"], rtol=1e-5, atol=1e-6)
    assert fallback["info"]["reason"] == "SKT_EXT_NO_NATIVE is set"
    assert fallback["info"]["library"] is None
    assert fallback["info"]["native"] is None
    assert all(
        backends == {"cpu": "reference", "cuda": "reference"}
        for backends in fallback["info"]["operators"].values()
    )
    assert "skt_ext" not in warnings  # it was asked for


def copy_package(target: Path) -> Path:
    shutil.copytree(PACKAGE, target / "skt_ext", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return target


def test_a_missing_library_is_one_warning_with_the_reason(tmp_path):
    copy_package(tmp_path)
    output, warnings = run_python(ALL_LOSSES, package_parent=tmp_path, SKT_EXT_NO_NATIVE="")
    reason = json.loads(output)["info"]["reason"]
    assert (
        reason == f"{tmp_path}/skt_ext/_C.so is not there; installing with a C++ compiler at hand builds it"
    )
    assert warnings.count("RuntimeWarning: skt_ext runs on its slower pure-torch reference: ") == 1
    assert reason in warnings


def test_a_broken_library_is_one_warning_with_the_reason(tmp_path):
    copy_package(tmp_path)
    (tmp_path / "skt_ext" / "_C.so").write_bytes(b"not a library")
    output, warnings = run_python(ALL_LOSSES, package_parent=tmp_path, SKT_EXT_NO_NATIVE="")
    reason = json.loads(output)["info"]["reason"]
    assert reason.startswith(f"{tmp_path}/skt_ext/_C.so could not be loaded: ")
    assert warnings.count("RuntimeWarning: skt_ext runs on its slower pure-torch reference: ") == 1


def test_build_info_describes_this_process():
    info = skt_ext.build_info()
    assert info["torch"] == torch.__version__
    assert (info["library"] is None) == (info["reason"] is not None) == (info["native"] is None)
    assert set(info["operators"]) == set(OPERATORS)
    assert json.loads(json.dumps(info)) == info
    info["operators"]["cosine_loss"]["cpu"] = "changed by the caller"
    assert skt_ext.build_info()["operators"]["cosine_loss"]["cpu"] in ("native", "reference")


def test_importing_is_light():
    """Beyond torch itself: nothing heavy, and under 0.3 s (in one of three runs, for a busy machine)."""
    code = """
import sys, time, torch
before = set(sys.modules)
start = time.perf_counter()
import skt_ext
print(time.perf_counter() - start)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print("torch._dynamo" in sys.modules and "torch._dynamo" not in before)
"""
    for _ in range(3):
        seconds, packages, imports_dynamo = run_python(code)[0].splitlines()
        if float(seconds) < 0.3:
            break
    assert float(seconds) < 0.3
    assert set(packages.split()).isdisjoint({"scipy", "matplotlib", "h5py", "triton", "cv2", "PIL", "pandas"})
    assert imports_dynamo == "False"
