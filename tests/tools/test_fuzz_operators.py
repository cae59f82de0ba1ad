"""A short run of the fuzzer finds nothing; a planted mistake, a crash and a hang are found and can be repeated."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "fuzz_operators.py"

# Runs the tool on six functions, each wrong in its own way.
PLANTED = f"""
import os, sys, time
sys.path.insert(0, {str(TOOL.parent)!r})
import fuzz_operators

if "--worker" in sys.argv:
    import torch
    from fuzzing import operators, public
    from fuzzing.subject import Subject

    def of(name, function):
        return Subject(name, function, public.blocks_formula, public.downsample_density)

    right = public.blocks_formula
    operators.SUBJECTS[:] = []
    public.SUBJECTS[:] = [
        of("value", lambda density, factor: right(density, factor) + 1e-2),
        of("argument", lambda density, factor: right(density.zero_(), factor)),
        of("random", lambda density, factor: right(density, factor) * (1 + torch.rand(()))),
        of("crash", lambda density, factor: os.abort()),
        of("hang", lambda density, factor: time.sleep(60)),
        of("error", lambda density, factor: {{}}[1]),
    ]
fuzz_operators.__file__ = __file__
fuzz_operators.SECONDS_A_CALL = 15
fuzz_operators.main()
"""


def fuzz(script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, timeout=300
    )


def test_nothing_is_found():
    done = fuzz(TOOL, "--calls", "300", "--seed", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 calls" in done.stdout
    assert "0 findings" in done.stdout


def test_planted_mistakes_are_found(tmp_path):
    script = tmp_path / "planted.py"
    script.write_text(PLANTED)
    done = fuzz(script, "--calls", "6", "--seed", "3461")
    assert done.returncode == 1, done.stdout + done.stderr
    findings = dict(
        line.split(": ", 1) for line in done.stdout.splitlines() if line.count(": ") and line[0] != " "
    )
    for name, said in {
        "value": "expected", "argument": "an argument after the call has other bits",
        "random": "a second call has other bits", "crash": "the process died with -6", "hang": "hangs",
        "error": "KeyError: 1",
    }.items():  # fmt: skip
        assert said in findings[name], done.stdout
    assert "python tools/fuzz_operators.py --seed 3461 --device cpu --call 5" in done.stdout


def test_one_call_can_be_repeated():
    first, second = (fuzz(TOOL, "--seed", "3", "--call", "7") for _ in range(2))
    assert first.stdout == second.stdout
    assert first.returncode == second.returncode == 0, first.stdout + first.stderr
