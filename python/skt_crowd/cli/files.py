"""What commands expect of the files they are given."""

from __future__ import annotations

from pathlib import Path

from skt_crowd.training.run_folder import RunFolder


def checkpoint_file(path: Path) -> Path:
    """The weights to use: the file itself, or the best ones of a run folder."""
    return RunFolder.open(path).model() if path.is_dir() else path
