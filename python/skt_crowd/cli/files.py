"""What commands expect of the files and folders they are given."""

from __future__ import annotations

from pathlib import Path

from skt_crowd.errors import UsageError
from skt_crowd.training.run_folder import RunFolder


def checkpoint_file(path: Path) -> Path:
    """The weights to use: the file itself, or the best ones of a run folder."""
    return RunFolder.open(path).model() if path.is_dir() else path


def new_folder(path: Path) -> Path:
    """A folder that results may be written to: missing or empty, so that nothing is overwritten."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: the output exists and is not an empty folder; give another")
    return path
