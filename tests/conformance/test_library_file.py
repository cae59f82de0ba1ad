"""What the library says of itself, and what it needs from the machine it is loaded on."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

SCHEMAS = {
    "cosine_distance": "(Tensor student, Tensor teacher, float eps) -> (Tensor distance, Tensor statistics)",
    "cosine_distance_backward": "(Tensor grad, Tensor student, Tensor teacher, Tensor statistics, float eps) -> Tensor",
    "max_pool_resize": "(Tensor input, SymInt kernel_h, SymInt kernel_w) -> (Tensor output, Tensor argmax)",
    "max_pool_resize_backward": "(Tensor grad, Tensor argmax, SymInt kernel_h, SymInt kernel_w, SymInt height, "
    "SymInt width) -> Tensor",
    "cosine_loss": "(Tensor student, Tensor teacher, float eps, float scale, bool with_gradient) -> "
    "(Tensor loss, Tensor gradient)",
    "rescale_": "(Tensor(a!) gradient, Tensor grad, float scale) -> ()",
    "pool_and_pack": "(Tensor[] features, int[] kernels, bool normalize, bool with_argmax) -> "
    "(Tensor packed, Tensor argmax, Tensor inverse_deviation)",
    "pool_and_pack_backward": "(Tensor grad, Tensor packed, Tensor argmax, Tensor inverse_deviation, "
    "Tensor[] features, int[] kernels) -> Tensor[]",
    "dense_fsp_distance": "(Tensor student, Tensor teacher, int[] channels, bool adjacent, str precision) -> "
    "(Tensor distance, Tensor difference)",
    "dense_fsp_distance_backward": "(Tensor grad, Tensor student, Tensor difference, int[] channels, "
    "bool adjacent, str precision) -> Tensor",
    "embedded_distance": "(Tensor student, Tensor weight, Tensor? bias, Tensor? teacher, bool relu, float eps, "
    "SymInt kernel_h, SymInt kernel_w) -> (Tensor loss, Tensor pooled, Tensor argmax, Tensor statistics)",
    "embedded_distance_backward": "(Tensor grad_loss, Tensor? grad_pooled, Tensor student, Tensor weight, "
    "Tensor? bias, Tensor? teacher, Tensor argmax, Tensor statistics, bool relu, float eps, SymInt kernel_h, "
    "SymInt kernel_w) -> (Tensor grad_student, Tensor grad_weight, Tensor grad_bias)",
    "density_splat": "(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, bool subpixel, Tensor? roi) -> Tensor",
    "geodesic_splat": "(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
    "float truncate, bool conserve, Tensor? roi, Tensor? image, float weight, float gain) -> Tensor",
    "geodesic_neighbors": "(Tensor points, SymInt neighbors, SymInt height, SymInt width, Tensor? roi, "
    "Tensor? image, float weight, float gain) -> Tensor",
    "build_info": "() -> str",
}
MAY_NEED = re.compile(
    r"libtorch_cpu\.so|libc10\.so|libstdc\+\+\.so\.6|libgcc_s\.so\.1|lib[cm]\.so\.6|libdl\.so\.2|libpthread\.so\.0"
    r"|librt\.so\.1|ld-linux-.*"
)


def output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def info(ops):
    return json.loads(ops.build_info())


@pytest.fixture(scope="module")
def cuobjdump():
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        pytest.skip("triton, which brings cuobjdump, is not installed")
    path = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return str(path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema(ops, name):
    assert str(getattr(ops, name).default._schema) == f"skt_ext::{name}{SCHEMAS[name]}"


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "build_info"])
def test_every_operator_has_a_cpu_kernel(ops, name):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"skt_ext::{name}", "CPU")


def test_build_info(info):
    assert set(info) == {"compiler", "torch_target", "torch_headers", "cuda", "cpu"}
    assert re.match(r"(gcc|clang) \d", info["compiler"])
    assert info["torch_target"] == "2.13"
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


def test_cuda_registration_follows_build_info(ops, info):
    for name in ("cosine_distance", "cosine_distance_backward"):
        has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key(f"skt_ext::{name}", "CUDA")
        if info["cuda"] is not None:
            assert has_kernel
        elif importlib.util.find_spec("skt_ext._library") is None:
            assert not has_kernel


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
