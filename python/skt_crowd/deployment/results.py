"""Counts as JSON, for the next program in the line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skt_crowd.deployment.counting import CountResult
from skt_crowd.files import write_text


def counts_as_json(results: Sequence[CountResult], context: Mapping[str, Any] | None = None) -> str:
    """``context`` (model, device ...) and one object per image: path, count, people, height, width, passes, seconds.

    >>> import numpy as np
    >>> result = CountResult(Path("a.jpg"), 3.2, 480, 640, 0.5, np.zeros((60, 80), np.float32), 8)
    >>> json.loads(counts_as_json([result]))["images"][0]["people"]
    3
    """
    images = [
        {
            "path": str(result.path),
            "count": round(result.count, 3),
            "people": result.people,
            "height": result.height,
            "width": result.width,
            "passes": result.passes,
            "seconds": round(result.seconds, 4),
        }
        for result in results
    ]
    return (
        json.dumps({**(context or {}), "images": images}, indent=2, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def write_counts(
    path: Path, results: Sequence[CountResult], context: Mapping[str, Any] | None = None
) -> None:
    """Write :func:`counts_as_json` to a file. Atomic.

    Raises:
        SktError: the file cannot be written.
    """
    write_text(path, counts_as_json(results, context))
