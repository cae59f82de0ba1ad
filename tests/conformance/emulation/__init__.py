"""CUDA kernels as Python modules: g++ compiles them against csrc/emulation, pybind11 binds what controls them.

Two modules, in three modes each: `operators`, the host code of csrc/cuda and its kernels, which registers the operators
on CPU tensors in a namespace of its own; and `machine`, small kernels that test the emulation itself.

Modes: `plain`; `sanitized` (AddressSanitizer and UBSan, in a process that was started for them); `race` (the race
checker, which also counts accesses to global memory).
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch

from skt_ext.ops import OPERATORS as ALL_OPERATORS

ROOT = Path(__file__).resolve().parents[3]
CSRC = ROOT / "csrc"
HERE = Path(__file__).parent
MODES = ("plain", "race", "sanitized")
ORDERS = ("forward", "reverse", "random")
# Those that csrc/cuda implements.
OPERATORS = tuple(
    name
    for source in sorted(CSRC.glob("cuda/*.cu"))
    for name in re.findall(r'impl\("(\w+)"', source.read_text())
)

FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-fPIC",
    "-g1",
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-fvisibility=hidden",
)
# Of kernels; the emulation itself is not instrumented for the race checker. -fno-tree-sra: a pack of 16 bytes stays one
# access.
SANITIZE = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
OF_KERNELS = {
    "plain": ("-O1",),
    "race": ("-O1", "-fsanitize=thread", "-fno-threadsafe-statics", "-fno-tree-sra"),
    "sanitized": SANITIZE,
}
OF_RUNTIME = {"plain": ("-O2",), "race": ("-O2",), "sanitized": SANITIZE}
RUNTIME = ("fiber.cpp", "machine.cpp")


def cuda_headers() -> Path | None:
    """The folder of cuda_fp16.h: of the CUDA toolkit, or of the wheels that torch comes with."""
    named = [Path(os.environ[name]) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    wheels = [found for folder in map(Path, sys.path) for found in sorted(folder.glob("nvidia/*/include"))]
    candidates = [*named, Path("/usr/local/cuda/include"), *wheels]
    return next((folder for folder in candidates if (folder / "cuda_fp16.h").exists()), None)


def why_not() -> str | None:
    """The reason why kernels cannot be emulated here, or None."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return "the emulation is written for Linux on x86-64"
    if shutil.which("g++") is None:
        return "no g++ found"
    if cuda_headers() is None:
        return "no CUDA headers (cuda_fp16.h) found"
    if importlib.util.find_spec("pybind11") is None:
        return "pybind11 is not installed"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "no Python.h found"
    return None


class Failed(Exception):
    """What a compiler said."""


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


@functools.cache
def state_of_headers() -> str:
    digest = hashlib.sha256(run(["g++", "--version"]).encode() + torch.__version__.encode())
    for path in sorted([*CSRC.rglob("*.h"), *HERE.glob("*.h"), CSRC / "emulation" / "exports.map"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Builder:
    """Makes modules in a folder that keeps what is unchanged; several processes may do so at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def module(self, name: str, mode: str) -> Path:
        """The shared library of the Python module skt_<name>_<mode>."""
        sources = [*HERE.glob("machine/*.cpp")]
        if name == "operators":
            sources = [*CSRC.glob("cuda/*.cu"), HERE / "operators.cpp"]
        full_name = f"skt_{name}_{mode}"
        defines = [
            f"-DSKT_MODULE={full_name}",
            f"-DSKT_NAMESPACE={full_name}",
            *(["-DSKT_RACE"] if mode == "race" else []),
        ]
        with ThreadPoolExecutor(2) as pool:
            of_kernels = [
                pool.submit(self._object, source, [*OF_KERNELS[mode], *defines]) for source in sorted(sources)
            ]
            runtime = [*RUNTIME, "race.cpp"] if mode == "race" else RUNTIME
            of_runtime = [
                pool.submit(self._object, CSRC / "emulation" / each, OF_RUNTIME[mode]) for each in runtime
            ]
            objects = [str(each.result()) for each in (*of_kernels, *of_runtime)]
        sanitizers = ["-fsanitize=address,undefined"] if mode == "sanitized" else []
        libraries = ["-Wl,-Bsymbolic", f"-Wl,--version-script={CSRC / 'emulation' / 'exports.map'}", "-ldl"]
        if name == "operators":
            folder = Path(torch.__file__).parent / "lib"
            libraries += [f"-L{folder}", "-Wl,--allow-shlib-undefined", "-ltorch_cpu", "-lc10"]
        return self._made(full_name, ".so", ["g++", "-shared", *sanitizers, *objects, *libraries])

    def _object(self, source: Path, flags: Iterable[str]) -> Path:
        includes = [
            f"-I{folder}" for folder in (CSRC / "emulation" / "include", CSRC / "include", CSRC)
        ]  # in this order
        system = [
            cuda_headers(),
            Path(torch.__file__).parent / "include",
            sysconfig.get_path("include"),
            _pybind11(),
        ]
        command = ["g++", *FLAGS, *flags, *includes, *(f"-isystem{folder}" for folder in system)]
        command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-c", str(source)]
        state = hashlib.sha256(state_of_headers().encode() + source.read_bytes()).hexdigest()
        return self._made(source.stem, ".o", command, state)

    def _made(self, stem: str, suffix: str, command: list[str], state: str = "") -> Path:
        key = hashlib.sha256(f"{state} {command}".encode()).hexdigest()[:16]
        target = self.folder / f"{stem}-{key}{suffix}"
        if target.exists():
            return target
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
            if not target.exists():
                fresh = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
                run([*command, "-o", str(fresh)])
                fresh.replace(target)
        return target


def _pybind11() -> str:
    import pybind11

    return pybind11.get_include()


def builder(config: pytest.Config) -> Builder:
    """Builds in pytest's cache, or where $SKT_EMULATION_FOLDER says."""
    if named := os.environ.get("SKT_EMULATION_FOLDER"):
        return Builder(Path(named))
    assert config.cache is not None
    return Builder(config.cache.mkdir("emulation"))


def load(path: Path) -> ModuleType:
    name = path.stem.rpartition("-")[0]
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def operators(config: pytest.Config, mode: str) -> ModuleType:
    """The operators in torch.ops.skt_operators_<mode>; skips where they cannot be compiled."""
    return _module(config, "operators", mode)


def machine(config: pytest.Config, mode: str) -> ModuleType:
    """The kernels that test the emulation."""
    return _module(config, "machine", mode)


_schemas = []  # registrations live as long as these objects


def _module(config: pytest.Config, name: str, mode: str) -> ModuleType:
    if reason := why_not():
        pytest.skip(reason)
    path = builder(config).module(name, mode)
    full_name = f"skt_{name}_{mode}"
    if name == "operators" and full_name not in sys.modules:
        schemas = torch.library.Library(full_name, "FRAGMENT")
        for operator in OPERATORS:
            schemas.define(ALL_OPERATORS[operator].schema)
        _schemas.append(schemas)
    return load(path)


def environment(config: pytest.Config) -> dict[str, str]:
    """Of a process that can load sanitized modules."""
    runtimes = [run(["g++", f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libubsan.so")]
    return os.environ | {
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "SKT_EMULATION_FOLDER": str(builder(config).folder),
    }
