"""Call every operator and public function with random and with bad arguments, and compare with plain torch.

    python tools/fuzz_operators.py --calls 20000 --seed 1
    python tools/fuzz_operators.py --seconds 600 --operator density_map

Good arguments have random shapes, layouts, dtypes, options and numbers, NaN and infinity among them. Checked are
values and gradients against the formula in float64, the bits of a second call on another number of threads, shapes and
strides against the fake kernel, an image alone against the same image in its batch; and that forward-mode and second
derivatives are right or raise. Bad arguments (half of the calls) must raise ValueError, TypeError or, in an operator,
RuntimeError, with a message; they must not crash, hang, or take more memory than the arguments ask for.

The calls run in a worker process, which is replaced when it dies or hangs. Each finding is printed with the command
that repeats it. Exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SECONDS_A_CALL = 60  # a call that takes longer hangs
SECONDS_TO_START = 180
EXTRA_MEMORY = 3 * 2**30  # bytes that a call may take beyond what the worker has when it starts


@dataclass(frozen=True)
class Call:
    """What a worker says of one call, when it begins and when it is done; `finding` is empty where all is well."""

    index: int
    subject: str = "drawing arguments"
    arguments: str = ""
    finding: str = ""
    done: bool = False


def make_call(index: int, seed: int, operator: str | None, device: str) -> Iterator[Call]:
    """Reports before the arguments are drawn, before the call, and after it."""
    from fuzzing import operators, public
    from fuzzing.checks import Finding, check
    from fuzzing.draw import Draw, describe
    from fuzzing.hostile import check_refusal, spoil

    subjects = [*operators.SUBJECTS, *public.SUBJECTS]
    if operator is not None:
        subjects = [subject for subject in subjects if operator in subject.name]
        if not subjects:
            raise SystemExit(f"--operator: no function has {operator!r} in its name")
    draw = Draw(seed * 1_000_003 + index, device)
    subject = subjects[index % len(subjects)]
    yield Call(index, subject.name)
    arguments = subject.draw(draw)
    names: list[str] = []
    if draw.chance(0.5):
        arguments, names = spoil(arguments, draw)
    bad = f"bad {', '.join(names)}: " if names else ""
    call = Call(index, subject.name, bad + describe(arguments))
    yield call
    finding = ""
    try:
        if names:
            check_refusal(subject, arguments, names)
        else:
            check(subject, arguments, draw)
    except Finding as found:
        finding = str(found)
    except Exception as error:
        finding = f"{type(error).__name__}: {error}"
    yield Call(index, subject.name, call.arguments, finding, done=True)


def work(arguments: argparse.Namespace) -> None:
    """A worker: reports calls in lines of JSON, from --call on."""
    import torch

    if arguments.device == "cpu":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + EXTRA_MEMORY, resource.RLIM_INFINITY))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    index = arguments.call
    while True:
        for call in make_call(index, arguments.seed, arguments.operator, arguments.device):
            print(json.dumps(asdict(call)), flush=True)
        if "CUDA error" in call.finding:
            return  # nothing works in this process from now on
        index += 1


class Worker:
    """A process that makes calls from `first` on."""

    def __init__(self, first: int, arguments: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--worker", *_options(arguments), "--call", str(first)]
        # A file, as a pipe that nobody reads would stop a talkative worker.
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.patience = SECONDS_TO_START
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def report(self) -> Call | None:
        """The next report; None where the process has died or hangs."""
        try:
            line = self.lines.get(timeout=self.patience)
        except queue.Empty:
            return None
        self.patience = SECONDS_A_CALL
        return Call(**json.loads(line)) if line.endswith("\n") else None

    def end(self) -> str:
        """How it ended, by itself or now."""
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hangs"
        self.errors.seek(0)
        return f"the process died with {self.process.returncode}: {self.errors.read().strip()[-300:]}"


def fuzz(arguments: argparse.Namespace) -> tuple[int, list[Call]]:
    """The number of calls made, and the findings among them."""
    findings: list[Call] = []
    end = time.monotonic() + (arguments.seconds or float("inf"))
    index, begun = 0, None
    worker = Worker(0, arguments)
    while index < arguments.calls and time.monotonic() < end:
        call = worker.report()
        if call is None:
            how = worker.end()
            if begun is None and worker.process.returncode == 0:
                worker = Worker(index, arguments)
                continue
            if begun is None:
                raise SystemExit(f"a worker did not start: {how}")
            findings.append(replace(begun, finding=how))
            _print(findings[-1], arguments)
            index, begun = begun.index + 1, None
            worker = Worker(index, arguments)
            continue
        begun = call
        if call.done:
            index, begun = call.index + 1, None
            if call.finding:
                findings.append(call)
                _print(call, arguments)
    worker.process.kill()
    worker.process.wait()
    return index, findings


def _options(arguments: argparse.Namespace) -> list[str]:
    operator = [] if arguments.operator is None else ["--operator", arguments.operator]
    return ["--seed", str(arguments.seed), "--device", arguments.device, *operator]


def _print(call: Call, arguments: argparse.Namespace) -> None:
    command = ["python", "tools/fuzz_operators.py", *_options(arguments), "--call", str(call.index)]
    print(f"{call.subject}: {call.finding}\n    {call.arguments}\n    {shlex.join(command)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other calls")
    parser.add_argument("--operator", help="only functions with this in their name")
    parser.add_argument("--device", default="cpu", help="where the tensors are (default: %(default)s)")
    parser.add_argument("--call", type=int, help="make this one call, in this process")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    if arguments.call is not None:
        *_, call = make_call(arguments.call, arguments.seed, arguments.operator, arguments.device)
        print(f"{call.subject}\n    {call.arguments}\n    {call.finding or 'nothing found'}")
        sys.exit(1 if call.finding else 0)
    start = time.monotonic()
    calls, findings = fuzz(arguments)
    print(f"{calls} calls in {time.monotonic() - start:.0f} s, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
