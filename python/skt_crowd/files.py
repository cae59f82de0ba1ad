"""Write a file completely or not at all."""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from skt_crowd.errors import SktError, UsageError, one_line


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace ``path`` by what ``write`` writes; a crash or a full disk leaves the old file whole.

    The bytes go to a temporary file in the same folder, reach the disk (``fsync``), and only then take the
    name. The folder is made if it is missing. The stream can seek.

    Raises:
        SktError: the file cannot be written; names the file and the cause. Whatever else ``write`` raises
            passes through.

    Example:
        >>> atomic_write(Path("count.txt"), lambda stream: stream.write(b"188"))  # doctest: +SKIP
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x+b") as stream:
            write(cast(BinaryIO, stream))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        cause = error.strerror or one_line(error)
        raise SktError(f"{path}: cannot be written: {cause}") from error
    finally:
        _remove(temporary)
    _sync_folder(path.parent)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """``atomic_write`` of bytes that are there already.

    Raises:
        SktError: the file cannot be written; names the file and the cause.
    """
    atomic_write(path, lambda stream: stream.write(content))


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """``write_text`` of an object as JSON, indented."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def require_unused(folder: Path, advice: str = "give another") -> None:
    """Refuse a folder for output that holds anything, so that nothing is overwritten.

    Raises:
        UsageError: it is not missing and not an empty folder; ``advice`` says what to do.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: the output exists and is not an empty folder; {advice}")


def _remove(temporary: Path) -> None:
    """Remove what a failed write left; after a successful one nothing has this name any more."""
    with contextlib.suppress(OSError):  # the error that brought us here says more than this one would
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder, and some network file systems refuse
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
