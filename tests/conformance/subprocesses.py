"""Tests in a process of their own, which needs variables of the environment from its start."""

import os
import subprocess
import sys
from pathlib import Path


def inside(variable: str) -> bool:
    """Whether this is the process that `run_tests` started with that variable."""
    return os.environ.get(variable) == "inside"


def run_tests(file: str, variable: str, environment: dict[str, str], *options: str) -> None:
    """The tests of a file, which defines them only where it is `inside(variable)`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        file,
        *options,
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env=os.environ | environment | {variable: "inside"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert " passed" in done.stdout
