"""CUDA kernels on the CPU: a driver compiled with g++ against csrc/emulation, called on numpy arrays.

A driver is a file ``tests/emulation/drivers/<name>.cpp`` of ``extern "C"`` functions. A test names it and takes the
fixture ``emulated``::

    DRIVER = "cosine_distance"

    def test_forward(emulated):
        out = np.full(8, np.nan, np.float32)
        emulated("plain", order="random", seed=3).forward(x, out, 8, 1e-8)

Arguments: a C-contiguous numpy array goes as a pointer to its memory (written back where the array is writeable),
``None`` as a null pointer, an ``int`` as ``int64_t``, a ``float`` as ``double``. The function returns ``const char*``:
null, or the message of an error, raised here as :class:`EmulationError` (``emulation::guarded`` in
csrc/emulation/driver.h).

Modes: ``plain``; ``sanitized`` (AddressSanitizer and UBSan); ``race`` (the race checker; it also counts accesses to
global memory: :meth:`Driver.counts`). A library runs in a process of its own, so that a crash is an exception here too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
EMULATION = ROOT / "csrc" / "emulation"
DRIVERS = Path(__file__).parent / "drivers"
MODES = ("plain", "sanitized", "race")
ORDERS = ("forward", "reverse", "random")
COMMON_FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-fPIC",
    "-g1",
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-Wall",
    "-Wno-unknown-pragmas",
)
# Of the driver; the emulation itself is not instrumented for the race checker. -fno-tree-sra: a pack of 16 bytes stays
# one access.
DRIVER_FLAGS = {
    "plain": ("-O2",),
    "sanitized": (
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ),
    "race": ("-O1", "-fsanitize=thread", "-fno-threadsafe-statics", "-fno-tree-sra"),
}
RUNTIME_FLAGS = DRIVER_FLAGS | {"race": ("-O2",)}
RUNTIME_FILES = {
    "plain": ("fiber.cpp", "machine.cpp"),
    "sanitized": ("fiber.cpp", "machine.cpp"),
    "race": ("fiber.cpp", "machine.cpp", "race.cpp"),
}


class EmulationError(Exception):
    """What the emulation, a sanitizer or the race checker reported."""


def cuda_headers() -> Path | None:
    """The folder of cuda_fp16.h: of the CUDA toolkit, or of the wheels that torch comes with."""
    candidates = [
        Path(os.environ[name]) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ
    ]
    if nvcc := shutil.which("nvcc"):
        candidates.append(Path(nvcc).resolve().parents[1] / "include")
    candidates.append(Path("/usr/local/cuda/include"))
    for folder in map(Path, sys.path):
        candidates += sorted(folder.glob("nvidia/*/include"))
    return next((folder for folder in candidates if (folder / "cuda_fp16.h").exists()), None)


def why_not() -> str | None:
    """The reason why kernels cannot be emulated here, or None."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return "the emulation is written for Linux on x86-64"
    if shutil.which("g++") is None:
        return "no g++ found"
    if cuda_headers() is None:
        return "no CUDA headers (cuda_fp16.h) found"
    return None


def torch_folder() -> Path:
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    return Path(torch.origin).parent


def operator_flags() -> list[str]:
    """For a whole operator: its host code includes torch's headers."""
    return [
        "-O1",
        "-include",
        str(EMULATION / "cuda.h"),
        f"-I{ROOT / 'csrc' / 'include'}",
        f"-isystem{torch_folder() / 'include'}",
        "-DTORCH_TARGET_VERSION=0x020d000000000000",  # as csrc/cmake/SktTorch.cmake
        '-DSKT_TORCH_TARGET="2.13"',
    ]


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EmulationError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


class Builder:
    """Compiles drivers, two at a time, into a folder that keeps what is unchanged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = ThreadPoolExecutor(2)
        self.futures: dict[tuple[str, ...], Future[Path]] = {}
        self.lock = threading.Lock()
        headers = [*EMULATION.glob("*"), *DRIVERS.glob("*.h")]
        headers += [
            path
            for folder in ("kernels", "cuda", "include/skt")
            for path in (ROOT / "csrc" / folder).glob("*.h")
        ]
        digest = hashlib.sha256(run(["g++", "--version"]).encode())
        for path in sorted(headers):
            digest.update(path.read_bytes())
        self.headers_digest = digest.hexdigest()

    def library(self, driver: Path, mode: str, defines: tuple[str, ...] = ()) -> Future[Path]:
        """The shared library of a driver, being compiled."""
        with self.lock:
            if ("runtime", mode) not in self.futures:
                self.futures["runtime", mode] = self.pool.submit(self._runtime, mode)
            key = (str(driver), mode, *defines)
            if key not in self.futures:
                self.futures[key] = self.pool.submit(self._library, driver, mode, defines)
            return self.futures[key]

    def operators(self) -> Future[Path]:
        """A library of all operators, those of csrc/cuda in the place of those of csrc/cpu."""
        with self.lock:
            if ("runtime", "plain") not in self.futures:
                self.futures["runtime", "plain"] = self.pool.submit(self._runtime, "plain")
            folder = ROOT / "csrc"
            sources = [*folder.glob("cuda/*.cu"), *folder.glob("kernels/*.cpp"), folder / "schemas.cpp"]
            objects = [
                self.pool.submit(self._compile, source, operator_flags()) for source in sorted(sources)
            ]
            return self.pool.submit(self._operators, objects)

    def _operators(self, objects: list[Future[Path]]) -> Path:
        parts = [str(each.result()) for each in objects] + [str(self.futures["runtime", "plain"].result())]
        libraries = [f"-L{torch_folder() / 'lib'}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-ldl"]
        link = ["g++", "-shared", "-Wl,-Bsymbolic", "-Wl,--allow-shlib-undefined", *parts, *libraries]
        target = self.folder / f"operators-{hashlib.sha256(' '.join(link).encode()).hexdigest()[:16]}.so"
        if not target.exists():
            self._made(target, link)
        return target

    def _compile(self, source: Path, flags: Iterable[str]) -> Path:
        command = ["g++", *COMMON_FLAGS, *flags, f"-I{ROOT / 'csrc'}", f"-isystem{cuda_headers()}"]
        digest = hashlib.sha256(
            self.headers_digest.encode() + source.read_bytes() + " ".join(command).encode()
        )
        target = self.folder / f"{source.stem}-{digest.hexdigest()[:16]}.o"
        if not target.exists():
            self._made(target, [*command, "-c", str(source)])
        return target

    @staticmethod
    def _made(target: Path, command: list[str]) -> None:
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as fresh:
            run([*command, "-o", fresh.name])
        Path(fresh.name).replace(target)  # in one step: another process may be doing the same

    def _runtime(self, mode: str) -> Path:
        objects = [self._compile(EMULATION / name, RUNTIME_FLAGS[mode]) for name in RUNTIME_FILES[mode]]
        target = (
            self.folder
            / f"runtime-{mode}-{hashlib.sha256(' '.join(map(str, objects)).encode()).hexdigest()[:16]}.a"
        )
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                fresh = Path(folder) / "fresh.a"
                run(["ar", "rcs", str(fresh), *map(str, objects)])
                fresh.replace(target)
        return target

    def _library(self, driver: Path, mode: str, defines: tuple[str, ...]) -> Path:
        compiled = self._compile(driver, [*DRIVER_FLAGS[mode], *(f"-D{define}" for define in defines)])
        runtime = self.futures["runtime", mode].result()
        target = compiled.with_name(f"{compiled.stem}-{runtime.stem[-16:]}.so")
        if not target.exists():
            link = ["-fsanitize=address,undefined"] if mode == "sanitized" else []
            whole = ["-Wl,-Bsymbolic", "-Wl,--whole-archive", str(runtime), "-Wl,--no-whole-archive", "-ldl"]
            self._made(target, ["g++", "-shared", *link, str(compiled), *whole])
        return target


@dataclass(frozen=True)
class Counts:
    """Accesses to global memory by the kernels of one driver, in the mode ``race``."""

    loads: int
    stores: int
    loaded_bytes: int
    stored_bytes: int
    loads_of_16_bytes: int
    stores_of_16_bytes: int


class Driver:
    """The functions of a compiled driver, in a process of its own."""

    def __init__(self, library: Path, mode: str) -> None:
        self.library, self.mode = library, mode
        environment = dict(os.environ, PYTHONMALLOC="malloc", OPENBLAS_NUM_THREADS="1")
        if mode == "sanitized":
            runtimes = [
                run(["g++", f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libubsan.so")
            ]
            environment |= {
                "LD_PRELOAD": " ".join(runtimes),
                "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=1",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            }
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            [sys.executable, "-E", str(Path(__file__).with_name("worker.py")), str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
        )

    def call(self, name: str, arguments: tuple[Any, ...]) -> None:
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        if not all(a.flags.c_contiguous for a in arrays):
            raise TypeError(f"{name}: arrays must be C-contiguous")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            pickle.dump((name, arguments), self.process.stdin)
            self.process.stdin.flush()
            message, results = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError):
            self.process.wait()
            self.errors.seek(0)
            raise EmulationError(self.errors.read().decode(errors="replace")) from None
        if message is not None:
            raise EmulationError(self._with_lines(message))
        for array, result in zip(arrays, results, strict=True):
            if array.flags.writeable:
                array[...] = result

    def counts(self) -> Counts:
        """Since the last call of this method."""
        numbers = np.zeros(6, np.uint64)
        self.call("skt_emulation_take_counts", (numbers,))
        return Counts(*map(int, numbers))

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()

    def _with_lines(self, message: str) -> str:
        """The message with ``[library+offset]`` replaced by file and line."""

        def line(found: re.Match[str]) -> str:
            lines = run(["addr2line", "-i", "-e", found[1], found[2]]).split()
            return " in ".join(f"{Path(line).name}" for line in lines)

        return re.sub(r"\[(.+?)\+(0x[0-9a-f]+)\]", line, message) if shutil.which("addr2line") else message


class Ordered:
    """A driver whose launches resume threads in a given order; its functions are attributes."""

    def __init__(self, driver: Driver, order: str, seed: int) -> None:
        self.driver, self.order, self.seed = driver, order, seed

    def __getattr__(self, name: str) -> Callable[..., None]:
        def function(*arguments: Any) -> None:
            self.driver.call("skt_emulation_set_order", (ORDERS.index(self.order), self.seed))
            self.driver.call(name, arguments)

        return function


class Drivers:
    """The drivers of a session, started when first used and again after a crash."""

    def __init__(self, folder: Path) -> None:
        self.builder = Builder(folder)
        self.running: dict[tuple[Any, ...], Driver] = {}

    def start(self, name: str, mode: str, defines: tuple[str, ...] = ()) -> Driver:
        key = (name, mode, defines)
        if key in self.running and self.running[key].process.poll() is not None:
            self.running.pop(key).close()
        if key not in self.running:
            library = self.builder.library(DRIVERS / f"{name}.cpp", mode, defines).result()
            self.running[key] = Driver(library, mode)
        return self.running[key]

    def close(self) -> None:
        self.builder.pool.shutdown(cancel_futures=True)
        for driver in self.running.values():
            driver.close()


def to_bfloat16(values: Any) -> np.ndarray:
    """The bits of the nearest bfloat16 numbers, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """As float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class Element:
    """An element type of a kernel, as numpy holds it."""

    name: str
    code: int  # of emulation::visit_element
    dtype: Any
    digits: int  # of the mantissa in bits, the leading one included

    def of(self, values: Any) -> np.ndarray:
        """Rounded to this type."""
        return to_bfloat16(values) if self.name == "bfloat16" else np.ascontiguousarray(values, self.dtype)

    def wide(self, array: np.ndarray) -> np.ndarray:
        """As float64."""
        return (from_bfloat16(array) if self.name == "bfloat16" else array).astype(np.float64)


FLOAT64 = Element("float64", 0, np.float64, 53)
FLOAT32 = Element("float32", 1, np.float32, 24)
FLOAT16 = Element("float16", 2, np.float16, 11)
BFLOAT16 = Element("bfloat16", 3, np.uint16, 8)
ELEMENTS = (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)
