"""Builds the native library with CMake and packs one abi3 wheel; CMakeLists.txt is the build definition.

Environment:

* ``SKT_EXT_NO_NATIVE=1``    a pure-Python install, whose operators are the reference
* ``SKT_CUDA=AUTO|ON|OFF``   CUDA kernels: if nvcc is found (default), or an error without it, or none
* ``TORCH_CUDA_ARCH_LIST``   GPUs to compile for, such as ``"8.0 9.0+PTX"``
* ``MAX_JOBS``               compilers at once (default: what cores and free memory allow)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
BYTES_PER_COMPILER = 2 * 1024**3  # nvcc with two threads, torch's headers included
OLDEST_PYTHON = "cp310"  # of the abi3 wheel


def why_not_native() -> str | None:
    """The reason for a pure-Python install, or None where the library can be built."""
    if os.environ.get("SKT_EXT_NO_NATIVE", "") not in ("", "0"):
        return "SKT_EXT_NO_NATIVE is set"
    compilers = [os.environ["CXX"].split()[0]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    if not any(shutil.which(name) for name in compilers):
        return f"no C++ compiler found (looked for {', '.join(compilers)})"
    return None


def free_memory() -> int:
    """Bytes that can be used without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 2 * BYTES_PER_COMPILER  # unknown: be modest


def parallel_jobs() -> int:
    """Compilers to run at once."""
    if os.environ.get("MAX_JOBS"):
        return max(1, int(os.environ["MAX_JOBS"]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, free_memory() // BYTES_PER_COMPILER))


def program(name: str) -> str:
    """Path of a build tool: beside this interpreter (a wheel of it), or on PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise SystemExit(f"skt-ext: {name} is needed to build the native library: pip install {name}")
    return found


def torch_version() -> str:
    """Version of the torch that this interpreter builds against."""
    try:
        import torch
    except ImportError as error:
        raise SystemExit(
            f"skt-ext: {sys.executable} cannot import torch ({error}), whose headers the native library needs. "
            "Install torch>=2.10 first, or build with isolation (without --no-build-isolation), "
            "or set SKT_EXT_NO_NATIVE=1 for a pure-Python install."
        ) from None
    return torch.__version__


class CMakeBuild(build_ext):
    """Configure, compile, and put ``_C.so`` where setuptools expects the extension."""

    def get_ext_filename(self, fullname: str) -> str:
        # torch.ops.load_library opens it, Python never imports it: no suffix naming an interpreter.
        return f"{fullname.replace('.', os.sep)}.so"

    def build_extension(self, ext: Extension) -> None:
        # One folder a torch: a second build compiles only what changed.
        folder = ROOT / "build" / f"cmake-torch-{torch_version()}"
        jobs = parallel_jobs()
        configure = [
            program("cmake"),
            f"-S{ROOT}",
            f"-B{folder}",
            "-GNinja",
            f"-DCMAKE_MAKE_PROGRAM={program('ninja')}",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DSKT_PYTHON={sys.executable}",
            f"-DSKT_CUDA={os.environ.get('SKT_CUDA', 'AUTO')}",
        ]
        print(f"skt-ext: building in {folder} with {jobs} compiler(s) at once", flush=True)
        subprocess.run(configure, check=True)
        subprocess.run([program("cmake"), "--build", str(folder), "--parallel", str(jobs)], check=True)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Replaced in one step: a process that has the old library mapped keeps it.
        fresh = target.with_suffix(".new")
        shutil.copyfile(folder / "_C.so", fresh)
        fresh.replace(target)


reason = why_not_native()
if reason is None:
    setup(
        ext_modules=[Extension("skt_ext._C", sources=[], py_limited_api=True)],
        cmdclass={"build_ext": CMakeBuild},
        options={"bdist_wheel": {"py_limited_api": OLDEST_PYTHON}},
    )
else:
    print(f"skt-ext: pure-Python install, operators run as the reference: {reason}", flush=True)
    # A library left in the tree by an earlier editable install must not get into a wheel for every platform.
    setup(exclude_package_data={"skt_ext": ["*.so"]})
