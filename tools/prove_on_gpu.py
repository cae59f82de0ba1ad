"""Build skt-ext for this machine's GPU, prove it there, measure it, and write one page: `make gpu`.

    python tools/prove_on_gpu.py --output proof

Takes at most eight minutes, needs no network, installs nothing and changes nothing outside the output folder. Needed
are torch with CUDA, nvcc, cmake and a C++ compiler; what else is missing (ninja, triton, pytest, compute-sanitizer)
costs the stages that need it, and the page says so. Send back report.md and report.json.

Each stage runs in a process of its own and has a limit of time; one that fails is written down and the next goes on.
Exits with 1 if any stage failed. Without a GPU, `--device cpu --quick` rehearses all of it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("skt_ext", "python", "tests", "tools", "benchmarks", "csrc", "CMakeLists.txt", "pyproject.toml")
IGNORED = shutil.ignore_patterns("__pycache__", "*.so", "results", "*.egg-info")
MINUTES = 8.0
SUITE_OF = {"cuda": "tests/conformance/test_cuda.py", "cpu": "tests/conformance/test_native.py"}


@dataclass(frozen=True)
class Stage:
    """One step of the proof: `run` gets the arguments, and returns a summary or raises.

    Args:
        name: of the stage's files.
        title: what it does, for the page.
        seconds: its limit.
        needs: packages that must be importable, and programs that must be on the PATH.
        only_cuda: skipped in a rehearsal.
        on_library: without the library, it would measure or test the reference.
    """

    name: str
    title: str
    seconds: int
    run: Callable[[argparse.Namespace], str]
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    only_cuda: bool = False
    on_library: bool = False

    def obstacle(self, arguments: argparse.Namespace) -> str:
        """Why it cannot run here; empty where it can."""
        if self.only_cuda and arguments.device != "cuda":
            return "needs a GPU"
        if self.on_library and not (arguments.output / "tree" / "skt_ext" / "_C.so").exists():
            return "the library was not built"
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        absent += [name for name in self.programs if program(name) is None]
        return f"{', '.join(absent)} not installed" if absent else ""


def program(name: str) -> str | None:
    """Path of a program: beside this interpreter, on the PATH, or in the CUDA toolkit."""
    cuda = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    for folder in (str(Path(sys.executable).parent), None, f"{cuda}/bin"):
        if found := shutil.which(name, path=folder):
            return found
    return None


# Stages. Each runs in its own process, with the copy of the tree that `build` made on its path.


def setting_of(arguments: argparse.Namespace) -> Any:
    import torch
    from proving.setting import Setting

    return Setting(torch.device(arguments.device), arguments.quick, part(arguments, arguments.stage, "json"))


def machine(arguments: argparse.Namespace) -> str:
    import platform

    import torch
    from proving.limits import measure_limits

    setting = setting_of(arguments)
    on_cuda = setting.device.type == "cuda"
    found: dict[str, Any] = {"device": platform.processor() or platform.machine()}
    if on_cuda:
        properties = torch.cuda.get_device_properties(setting.device)
        found = {
            "device": properties.name,
            "compute capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory": f"{properties.total_memory / 2**30:.0f} GiB",
            "driver, clocks, power limit": _output(
                "nvidia-smi",
                "--query-gpu=driver_version,clocks.max.sm,clocks.max.mem,power.limit",
                "--format=csv,noheader",
            ),
        }
    found |= {
        "torch": torch.__version__,
        "triton": importlib.util.find_spec("triton") and __import__("triton").__version__,
        "nvcc": _output("nvcc", "--version").splitlines()[-2:][0] if program("nvcc") else "not found",
        "python": platform.python_version(),
        "system": f"{platform.platform()}, {os.cpu_count()} CPU cores",
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }
    setting.save(found)
    found["limits"] = measure_limits(setting)
    setting.save(found)
    return f"copy {found['limits']['bandwidth'] / 1e9:,.0f} GB/s"


def build(arguments: argparse.Namespace) -> str:
    """The library, for this card alone, into a copy of the tree."""
    copy = arguments.output / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(
            source, copy / name, **({"ignore": IGNORED} if source.is_dir() else {})
        )
    library = copy / "skt_ext" / "_C.so"
    if arguments.library is not None:
        shutil.copy(arguments.library, library)
        return f"{arguments.library} taken, nothing built"
    import torch

    surroundings, on_cuda = dict(os.environ), arguments.device == "cuda"
    if on_cuda:
        major, minor = torch.cuda.get_device_capability()
        surroundings["TORCH_CUDA_ARCH_LIST"] = f"{major}.{minor}"
        nvcc = program("nvcc")
        if nvcc is not None:
            surroundings["CUDACXX"] = nvcc
    folder, cmake = arguments.output / "build", str(program("cmake"))
    generator = ["-GNinja", f"-DCMAKE_MAKE_PROGRAM={program('ninja')}"] if program("ninja") else []
    configure = [cmake, "-S", str(copy), "-B", str(folder), f"-DSKT_PYTHON={sys.executable}", *generator]
    subprocess.run([*configure, f"-DSKT_CUDA={'ON' if on_cuda else 'OFF'}"], check=True, env=surroundings)
    subprocess.run(
        [cmake, "--build", str(folder), "--parallel", str(os.cpu_count() or 2)], check=True, env=surroundings
    )
    shutil.copy(folder / "_C.so", library)
    return f"{library.stat().st_size / 1e6:.1f} MB" + (f" for sm_{major}{minor}" if on_cuda else "")


def suite(arguments: argparse.Namespace) -> str:
    """The conformance suite on the device, and the tests that only a device has."""
    chosen = [SUITE_OF[arguments.device]]
    if arguments.quick:
        chosen += ["-k", "rescale_"]
    return _pytest(arguments, chosen)


def triton(arguments: argparse.Namespace) -> str:
    """The operators that are Triton's on CUDA, on random crowds against the reference."""
    return _fuzz(arguments, "--operator", "_splat", "--calls", "200", "--seconds", "40")


def fuzz(arguments: argparse.Namespace) -> str:
    """Every operator and public function on random and on bad arguments."""
    return _fuzz(arguments, "--calls", "50" if arguments.quick else "100000", "--seconds", "40")


def kernels(arguments: argparse.Namespace) -> str:
    from proving.kernels import kernel_rows

    machine_found = json.loads(part(arguments, "machine", "json").read_text())
    rows = _rows(arguments, lambda setting, on_row: kernel_rows(setting, machine_found["limits"], on_row))
    shares = [row["share_of_limit"] for row in rows if row.get("share_of_limit")]
    return (
        f"{len(rows)} rows, {min(shares):.0%} to {max(shares):.0%} of the limit"
        if shares
        else f"{len(rows)} rows"
    )


def paper(arguments: argparse.Namespace) -> str:
    from proving.steps import paper_rows

    rows = _rows(arguments, paper_rows)
    faster = [row["times_faster"] for row in rows]
    return f"{min(faster):.2f} to {max(faster):.2f} times as fast as the other"


def step(arguments: argparse.Namespace) -> str:
    from proving.steps import distillation_steps

    rows = _rows(arguments, distillation_steps)
    return f"batch {', '.join(str(row['batch']) for row in rows)}"


def graphs(arguments: argparse.Namespace) -> str:
    from proving.steps import graphs_and_compile

    return ", ".join(row["dtype"] for row in _rows(arguments, graphs_and_compile))


def memcheck(arguments: argparse.Namespace) -> str:
    return _sanitized(arguments, "memcheck")


def racecheck(arguments: argparse.Namespace) -> str:
    return _sanitized(arguments, "racecheck")


def calls(arguments: argparse.Namespace) -> str:
    """A few calls of every operator with small arguments: what compute-sanitizer looks at."""
    import torch
    from fuzzing import operators
    from fuzzing.draw import Draw

    for subject in operators.SUBJECTS:
        for seed in range(2):
            draw = Draw(seed, arguments.device)
            draw.numbers = "normal"
            subject.function(**subject.draw(draw))
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    return f"{len(operators.SUBJECTS)} operators"


def _rows(
    arguments: argparse.Namespace, measure: Callable[[Any, Callable[[dict[str, Any]], None]], None]
) -> list[dict[str, Any]]:
    """The rows of a measurement, saved one by one; raises if one of them has an error."""
    setting = setting_of(arguments)
    rows: list[dict[str, Any]] = []

    def on_row(row: dict[str, Any]) -> None:
        rows.append(row)
        setting.save({"size": setting.size, "rows": rows})

    measure(setting, on_row)
    errors = [str(row["error"]) for row in rows if row["error"]]
    if errors:
        raise SystemExit(f"{len(errors)} of {len(rows)} rows failed, the first with: {errors[0]}")
    return rows


def _pytest(arguments: argparse.Namespace, chosen: list[str]) -> str:
    from xml.etree import ElementTree

    report = part(arguments, arguments.stage, "xml")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        f"--junitxml={report}",
        *chosen,
    ]
    # Options of a plugin that is not here are no reason not to test.
    plugins = [] if importlib.util.find_spec("pytest_timeout") else ["-o", "addopts=--import-mode=importlib"]
    code = subprocess.run([*command, *plugins], cwd=arguments.output / "tree", check=False).returncode
    if not report.exists():
        raise SystemExit(f"pytest ended with {code}, without a report")
    counts = ElementTree.parse(report).getroot().find("testsuite")
    assert counts is not None
    failed = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
    skipped = int(counts.get("skipped", 0))
    passed = int(counts.get("tests", 0)) - failed - skipped
    summary = f"{passed} passed, {failed} failed, {skipped} skipped"
    if code != 0 or passed == 0:
        raise SystemExit(summary)
    return summary


def _fuzz(arguments: argparse.Namespace, *options: str) -> str:
    command = [
        sys.executable,
        str(Path(__file__).parent / "fuzz_operators.py"),
        "--device",
        arguments.device,
        *options,
    ]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(answer.stdout)
    last = answer.stdout.strip().splitlines()[-1]
    if answer.returncode != 0:
        raise SystemExit(last)
    return last


def _sanitized(arguments: argparse.Namespace, tool: str) -> str:
    checked = [
        sys.executable,
        __file__,
        "--stage",
        "calls",
        "--device",
        arguments.device,
        "--output",
        str(arguments.output),
    ]
    command = [str(program("compute-sanitizer")), "--tool", tool, "--error-exitcode", "9", *checked]
    # Each tensor in memory of its own: what lies beyond its end is nobody's.
    answer = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
    )
    print(answer.stdout)
    summary = [line for line in answer.stdout.splitlines() if "SUMMARY" in line]
    last = summary[-1].strip("= ") if summary else f"ended with {answer.returncode}"
    if answer.returncode != 0:
        raise SystemExit(last)
    return last


def _output(name: str, *options: str) -> str:
    """What a program prints; empty where it is absent or fails."""
    path = program(name)
    if path is None:
        return ""
    return subprocess.run([path, *options], capture_output=True, text=True, check=False).stdout.strip()


# In the order of how much a person wants to know them, should the time run out.
STAGES = (
    Stage("machine", "what is here, and what the card allows", 60, machine, ("torch", "numpy")),
    Stage("build", "the library for this card alone", 240, build, programs=("cmake", "c++")),
    Stage("suite", "conformance suite; streams, graphs, devices", 120, suite, ("pytest",), on_library=True),
    Stage("kernels", "every operator against the card's limit", 40, kernels, on_library=True),
    Stage("paper", "losses against eager torch and torch.compile", 100, paper, on_library=True),
    Stage("step", "one distillation step against the released way", 60, step, on_library=True),
    Stage("graphs", "all losses as a CUDA graph and compiled", 80, graphs, on_library=True),
    Stage("triton", "Triton kernels against the reference", 60, triton, ("triton",), only_cuda=True),
    Stage("memcheck", "accesses out of bounds", 60, memcheck, (), ("compute-sanitizer",), True, True),
    Stage("racecheck", "races in shared memory", 60, racecheck, (), ("compute-sanitizer",), True, True),
    Stage("fuzz", "random and bad arguments", 50, fuzz),
    Stage("calls", "what compute-sanitizer looks at, without it", 60, calls),
)


# The run


def part(arguments: argparse.Namespace, stage: str, suffix: str) -> Path:
    return Path(arguments.output) / "parts" / f"{stage}.{suffix}"


def run_stage(stage: Stage, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """What became of one stage, in a process of its own."""
    row: dict[str, Any] = {
        "name": stage.name, "title": stage.title, "status": "skipped", "reason": "", "summary": "", "seconds": 0.0,
        "found": None, "log": "",
    }  # fmt: skip
    row["reason"] = stage.obstacle(arguments) or ("" if seconds > 5 else "no time left")
    if row["reason"]:
        return row
    tree = arguments.output / "tree"
    script = (
        tree / "tools" / Path(__file__).name if tree.exists() and stage.name != "build" else Path(__file__)
    )
    command = [sys.executable, str(script), "--stage", stage.name, *_options(arguments)]
    surroundings = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "python")]), "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1", "TORCHINDUCTOR_CACHE_DIR": str(arguments.output / "cache" / "inductor"),
        "TRITON_CACHE_DIR": str(arguments.output / "cache" / "triton"),
    }  # fmt: skip
    surroundings["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # deterministic products, for the fuzzer
    if arguments.quick:
        surroundings["OMP_NUM_THREADS"] = "1"
    log = part(arguments, stage.name, "log")
    start = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=surroundings,
            cwd=arguments.output,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(min(stage.seconds, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
    row["seconds"] = time.monotonic() - start
    row["log"] = log.read_text(errors="replace")[-5000:]
    lines = row["log"].strip().splitlines() or [""]
    result = part(arguments, stage.name, "json")
    row["found"] = json.loads(result.read_text()) if result.exists() else None
    row["status"] = "passed" if code == 0 else "failed"
    if code == 0:
        row["summary"] = lines[-1]
    else:
        row["reason"] = "stopped: its time was over" if code is None else lines[-1][:200]
    return row


def _options(arguments: argparse.Namespace) -> list[str]:
    options = ["--device", arguments.device, "--output", str(arguments.output)]
    options += ["--quick"] if arguments.quick else []
    return options + (["--library", str(arguments.library)] if arguments.library else [])


def prove(arguments: argparse.Namespace) -> bool:
    from proving.page import page

    start = time.monotonic()
    (arguments.output / "parts").mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "device": arguments.device, "quick": arguments.quick, "passed": False, "seconds": 0.0, "stages": [],
    }  # fmt: skip
    for stage in (stage for stage in STAGES if stage.name in (arguments.stages or stage.name)):
        left = arguments.minutes * 60 - (time.monotonic() - start)
        print(f"{stage.name}: {stage.title} ...", end=" ", flush=True)
        row = run_stage(stage, arguments, left)
        print(f"{row['status']}, {row['seconds']:.0f} s: {row['summary'] or row['reason']}", flush=True)
        report["stages"].append(row)
        report["seconds"] = time.monotonic() - start
        # Written after each stage: whoever stops the command has what there is.
        report["passed"] = all(row["status"] != "failed" for row in report["stages"])
        (arguments.output / "report.json").write_text(json.dumps(report, indent=1))
        (arguments.output / "report.md").write_text(page(report))
    verdict = "everything passed" if report["passed"] else "something failed"
    print(f"{arguments.output / 'report.md'} and report.json: {verdict}")
    return bool(report["passed"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the page, the report and the build"
    )
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds, for a rehearsal")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="in all (default: %(default)s)")
    parser.add_argument("--library", type=Path, help="take this compiled library instead of building one")
    parser.add_argument(
        "--stages", nargs="+", choices=[s.name for s in STAGES], help="only these (default: all)"
    )
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.output = arguments.output.resolve()
    arguments.library = arguments.library and arguments.library.resolve()
    if arguments.stage is not None:
        (stage,) = (stage for stage in STAGES if stage.name == arguments.stage)
        print(stage.run(arguments))
        return
    sys.exit(0 if prove(arguments) else 1)


if __name__ == "__main__":
    main()
