"""Text and JSON files that are written completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from skt_crowd.models.atomic import atomic_write


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace the file; a crash or a full disk leaves the old one.

    Raises:
        SktError: the file cannot be written; names it and the cause.
    """

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    atomic_write(path, write)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """``write_bytes`` of an object, indented."""
    write_text(path, json.dumps(content, indent=2) + "\n")
