"""Real data for tests: the folder ``shared``, which is not part of the repository."""

import os
from pathlib import Path

import pytest


def shared_path(*parts: str) -> Path:
    """A path inside the shared folder; skips the calling test, saying why, where it does not exist.

    The folder is what the environment variable ``SKT_SHARED`` names, or else ``../shared`` beside the
    repository.
    """
    root = Path(os.environ.get("SKT_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path}, which is not there (set SKT_SHARED to the folder of shared data)")
    return path
