"""Prove one wheel under every torch and every Python that it claims: `make matrix`.

    python tools/matrix.py --wheel dist/skt_ext-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl
    python tools/matrix.py --torch 2.10 --python 3.11

For each cell a fresh environment is made under build/matrix, with that torch from the package index, the wheel is
installed into it, and the conformance suite runs there on what was installed, not on this source tree. Two further
cells install without a compiler (from the source distribution: pure Python) and without triton. Every torch is proved
under one Python and every Python under one torch; --all proves every pair. What cannot be had is named and counts as no
failure: an interpreter that is not installed, or a torch that has no wheel for it. Environments are made one at a time
and removed afterwards unless --keep; torch's CUDA packages take about 6 GB in each. Exits with 1 if a cell fails.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TORCHES = ("2.10", "2.11", "2.13", "2.15")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# What the suite imports, beside torch and skt_ext; setuptools is for the installation without a compiler.
PACKAGES = ("numpy", "scipy", "pytest", "pytest-timeout", "setuptools>=77")
# Of the conformance suite, what asks the installation; the rest compiles csrc, or reads this tree.
SUITE = ("reference", "native", "registration", "library", "library_file", "triton", "compiled")
GIGABYTES_FREE = 12
WHEEL, NO_COMPILER, NO_TRITON = "wheel", "no compiler", "no triton"


@dataclass(frozen=True)
class Cell:
    """One row of the matrix, and what came of it."""

    python: str
    torch: str
    install: str
    outcome: str = ""  # passed, failed, or not available
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: int = 0
    note: str = ""

    def __str__(self) -> str:
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped in {self.seconds} s"
        return (
            f"Python {self.python:5} torch {self.torch:7} {self.install:12} {self.outcome:14}"
            f"{counts if self.passed + self.failed else ''} {self.note}"
        )


class NotAvailable(Exception):
    """An interpreter or a torch that this machine cannot get."""


def cells(torches: list[str], pythons: list[str], every_pair: bool) -> Iterator[Cell]:
    """In the order of environments, so that each is made once."""
    usual_torch = "2.13" if "2.13" in torches else torches[-1]
    usual_python = "3.11" if "3.11" in pythons else pythons[-1]
    for python in pythons:
        for torch in torches:
            if every_pair or python == usual_python or torch == usual_torch:
                yield Cell(python, torch, WHEEL)
    yield Cell(usual_python, usual_torch, NO_TRITON)
    yield Cell(usual_python, usual_torch, NO_COMPILER)


def interpreter(version: str) -> str:
    """A Python of this version: on the PATH, or one that pyenv has installed."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = shutil.which(f"python{version}")
    for candidate in filter(None, [found, *map(str, sorted(installed.glob(f"{version}.*/bin/python")))]):
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and f" {version}." in answer.stdout:
            return candidate
    raise NotAvailable(f"no python{version} on the PATH or in {installed}")


def environment(cell: Cell, folder: Path) -> Path:
    """An environment with this Python and torch, made where it is not there yet; its python."""
    home = folder / f"python{cell.python}-torch{cell.torch}"
    python = home / "bin" / "python"
    if (home / ".ready").exists():
        return python
    free = shutil.disk_usage(folder).free / 1e9
    if free < GIGABYTES_FREE:
        raise NotAvailable(
            f"{free:.0f} GB free in {folder}, {GIGABYTES_FREE} needed for torch and its packages"
        )
    subprocess.run([interpreter(cell.python), "-m", "venv", "--clear", str(home)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", f"torch=={cell.torch}.*", *PACKAGES]
    answer = subprocess.run(install, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        shutil.rmtree(home)
        reasons = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        raise NotAvailable(f"pip: {(reasons or ['failed without a word'])[-1].removeprefix('ERROR: ')[:150]}")
    (home / ".ready").touch()
    return python


def install(cell: Cell, python: Path, wheel: Path, source: Path) -> None:
    """Put skt_ext into the environment, as the cell says."""
    pip = [str(python), "-m", "pip"]
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "skt-ext"], check=True, capture_output=True)
    if cell.install == NO_TRITON:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "triton"], check=True, capture_output=True)
    what, surroundings = [str(wheel)], dict(os.environ)
    if cell.install == NO_COMPILER:
        what = ["--no-build-isolation", str(source)]
        surroundings = {k: v for k, v in os.environ.items() if k not in ("CXX", "CC")} | {
            "PATH": str(python.parent)
        }
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", *what],
        check=True,
        env=surroundings,
        cwd=python.parent,
    )


def run_suite(cell: Cell, python: Path, folder: Path, parts: list[str]) -> Cell:
    """The suite on what is installed, in a folder that holds the tests alone."""
    place = folder / "tests-alone"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    report = place / "report.xml"
    surroundings = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TRITON_INTERPRET": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    info = subprocess.run(
        [str(python), "-W", "ignore", "-c", "import json, skt_ext; print(json.dumps(skt_ext.build_info()))"],
        capture_output=True, text=True, check=False, cwd=place, env=surroundings,
    )  # fmt: skip
    if info.returncode != 0:
        return replace(cell, outcome="failed", note=info.stderr.strip().splitlines()[-1][:150])
    build = json.loads(info.stdout)
    cell = replace(cell, torch=build["torch"].partition("+")[0])
    if (build["library"] is None) != (cell.install == NO_COMPILER):
        return replace(cell, outcome="failed", note=f"library {build['library']}: {build['reason']}")
    start = time.monotonic()
    chosen = [f"tests/conformance/test_{part}.py" for part in parts]
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *chosen]
    log = folder / f"python{cell.python}-torch{cell.torch}-{cell.install.replace(' ', '-')}.log"
    with log.open("w") as file:
        code = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False, cwd=place, env=surroundings
        ).returncode
    seconds = round(time.monotonic() - start)
    if not report.exists():
        where = [line.strip() for line in log.read_text().splitlines() if "/tests/" in line]
        note = f"pytest ended with {code} {(where or [''])[0]}"
        return replace(cell, outcome="failed", seconds=seconds, note=note[:200])
    counts = ElementTree.parse(report).getroot().find("testsuite")
    assert counts is not None
    total, skipped = int(counts.get("tests", 0)), int(counts.get("skipped", 0))
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    passed = total - failed - skipped
    outcome = "passed" if code == 0 and passed > 0 else "failed"
    return replace(cell, outcome=outcome, passed=passed, failed=failed, skipped=skipped, seconds=seconds)


def prove(cell: Cell, folder: Path, wheel: Path, source: Path, parts: list[str]) -> Cell:
    try:
        python = environment(cell, folder)
    except NotAvailable as reason:
        return replace(cell, outcome="not available", note=str(reason))
    try:
        install(cell, python, wheel, source)
    except subprocess.CalledProcessError as error:
        return replace(cell, outcome="failed", note=f"installation: {error}"[:150])
    return run_suite(cell, python, folder, parts)


def build(folder: Path) -> Path:
    """The wheel of this source tree."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def source_distribution(folder: Path) -> Path:
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT)
    return max(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)


def write_csv(path: Path, rows: list[Cell], wheel: Path, parts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    common = {
        "suite": " ".join(parts),
        "wheel": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()[:16],
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*asdict(rows[0]), *common])
        writer.writeheader()
        writer.writerows(asdict(row) | common for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", type=Path, help="an existing wheel (default: build one)")
    parser.add_argument("--torch", action="append", metavar="VERSION", help=f"default: {' '.join(TORCHES)}")
    parser.add_argument("--python", action="append", metavar="VERSION", help=f"default: {' '.join(PYTHONS)}")
    parser.add_argument("--all", action="store_true", help="every torch under every Python")
    parser.add_argument(
        "--without", action="append", choices=SUITE, default=[], help="leave out a part of the suite"
    )
    parser.add_argument("--keep", action="store_true", help="keep the environments for the next time")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "matrix", help="default: build/matrix"
    )
    parser.add_argument("--output", type=Path, help="a CSV with the cells, such as docs/results/matrix.csv")
    arguments = parser.parse_args()

    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = arguments.wheel.resolve() if arguments.wheel else build(folder)
    source = source_distribution(folder)
    print(f"proving {wheel.name}, {wheel.stat().st_size} bytes", flush=True)
    planned = list(cells(arguments.torch or list(TORCHES), arguments.python or list(PYTHONS), arguments.all))
    parts = [part for part in SUITE if part not in arguments.without]
    rows = []
    for index, cell in enumerate(planned):
        rows.append(prove(cell, folder, wheel, source, parts))
        print(rows[-1], flush=True)
        home = folder / f"python{cell.python}-torch{cell.torch}"
        wanted_again = any((c.python, c.torch) == (cell.python, cell.torch) for c in planned[index + 1 :])
        if not (arguments.keep or wanted_again or home.is_symlink()):
            (home / ".ready").unlink(
                missing_ok=True
            )  # first: what is half removed must not be taken for whole
            shutil.rmtree(home, ignore_errors=True)
    if arguments.output:
        write_csv(arguments.output, rows, wheel, parts)
    wrong = [row for row in rows if row.outcome == "failed"]
    proved = [row for row in rows if row.outcome == "passed"]
    print(f"{len(proved)} of {len(rows)} cells passed, {len(wrong)} failed")
    sys.exit(1 if wrong or not proved else 0)


if __name__ == "__main__":
    main()
