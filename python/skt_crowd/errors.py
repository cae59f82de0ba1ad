"""Errors that a person can act on: the command line prints the message on one line and exits with the code."""


class SktError(Exception):
    """Something outside the program is wrong: a file, a data set, a checkpoint, the disk. Exit code 1."""

    exit_code = 1


class UsageError(SktError, ValueError):
    """The request itself is wrong: an argument, an option, a recipe. Exit code 2."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks, at most 200 characters; its type where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
