"""What the library says of itself, and what it needs from the machine it is loaded on."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import skt_ext

MAY_NEED = re.compile(
    r"libtorch_cpu\.so|libc10\.so|libstdc\+\+\.so\.6|libgcc_s\.so\.1|lib[cm]\.so\.6|libdl\.so\.2|libpthread\.so\.0"
    r"|librt\.so\.1|ld-linux-.*"
)


def output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def library_path() -> Path:
    if skt_ext.build_info()["reason"] is not None:
        pytest.skip(skt_ext.build_info()["reason"])
    return Path(skt_ext.build_info()["library"])


@pytest.fixture(scope="module")
def info(library_path):
    return skt_ext.build_info()["native"]


@pytest.fixture(scope="module")
def cuobjdump():
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        pytest.skip("triton, which brings cuobjdump, is not installed")
    path = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return str(path)


def test_build_info(info):
    assert set(info) == {"compiler", "torch_target", "torch_headers", "cuda", "cpu"}
    assert re.match(r"(gcc|clang) \d", info["compiler"])
    assert info["torch_target"] == "2.10"
    assert info["cpu"]["used"] in info["cpu"]["compiled"]
    assert info["cpu"]["compiled"][-1] == "baseline"


def test_needs_only_the_stable_libraries_of_torch_and_the_c_library(library_path):
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", str(library_path)))
    assert "libtorch_cpu.so" in needed
    assert [name for name in needed if not MAY_NEED.fullmatch(name)] == []


def test_names_no_folder_of_the_build_machine(library_path):
    dynamic = output_of("readelf", "-d", str(library_path))
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic
    content = library_path.read_bytes()
    for folder in (Path(torch.__file__).parent, Path(__file__).parents[2]):
        assert str(folder).encode() not in content


def test_exports_nothing(library_path):
    # torch finds the operators through static initialisers: an exported name could only clash with another library's.
    symbols = output_of("readelf", "--dyn-syms", "--wide", str(library_path))
    defined = [
        line.split()[-1]
        for line in symbols.splitlines()
        if re.search(r"(FUNC|OBJECT|IFUNC)\s+GLOBAL\s+DEFAULT\s+\d", line)
    ]
    assert [name for name in defined if "skt" in name] == []


def test_holds_the_gpu_architectures_it_names(library_path, info, cuobjdump):
    if info["cuda"] is None:
        pytest.skip("built without CUDA")
    named = info["cuda"]["architectures"].split()
    machine_code = set(
        re.findall(r"sm_(\d+[af]?)\.cubin", output_of(cuobjdump, "--list-elf", str(library_path)))
    )
    assert machine_code == {name.removesuffix("+PTX").replace(".", "") for name in named}
    ptx = set(re.findall(r"sm_(\d+[af]?)\.ptx", output_of(cuobjdump, "--list-ptx", str(library_path))))
    assert ptx == {name.removesuffix("+PTX").replace(".", "") for name in named if name.endswith("+PTX")}
