"""Run ``skt`` inside the test's process, as a shell would see it."""

import contextlib
import io
from typing import NamedTuple

import pytest

from skt_crowd.cli.app import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def skt(*arguments: object) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit_,
    ):
        main([str(argument) for argument in arguments])
    code = exit_.value.code
    return Ended(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def refused(ended: Ended, code: int) -> str:
    """The message of a command that was refused: one line, no traceback, the code that was expected."""
    assert ended.err.startswith("skt: error: "), ended
    assert ended.err.count("\n") == 1, ended.err
    assert ended.code == code, ended
    return ended.err.removeprefix("skt: error: ").rstrip("\n")
