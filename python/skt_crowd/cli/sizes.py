"""An image's size as typed on the command line."""

from __future__ import annotations

from skt_crowd.errors import UsageError


def parse_size(option: str, text: str) -> tuple[int, int]:
    """``"576x864"`` -> (576, 864): height, width.

    Raises:
        UsageError: anything else; names ``option``.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) >= 1 and int(width) >= 1):
        raise UsageError(f"{option}: expected HxW such as 576x864, got {text!r}")
    return int(height), int(width)
