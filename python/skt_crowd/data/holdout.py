"""A fixed part of the training images that is not trained on, for choosing a model."""

import hashlib
from collections.abc import Sequence

from skt_crowd.errors import UsageError


def hold_out(names: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split images into (train, held out) index lists, by their names and a seed alone.

    Names are ranked by SHA-256 of seed and name, and the first round(fraction * n) are held out, at least
    one where `fraction` is above zero. So the choice does not depend on the order of the names, on the
    platform or on a library's random numbers, and most of it stays when images are added.

    Args:
        names: unique.
        fraction: 0 up to, but not including, 1.
        seed: any number.

    Returns:
        Two sorted lists of indices into `names`, disjoint, together all of them.

    Raises:
        UsageError: a fraction out of range, a name that occurs twice, or nothing left to train on.

    Example:
        >>> hold_out(["a", "b", "c", "d"], 0.25, seed=0)
        ([0, 1, 2], [3])
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"held-out fraction: expected 0 <= fraction < 1, got {fraction}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"names: {twice!r} occurs more than once")
    count = max(1, round(fraction * len(names))) if fraction > 0 else 0
    if count >= len(names):
        raise UsageError(f"held-out fraction: {fraction} of {len(names)} images leaves none to train on")
    ranked = sorted(range(len(names)), key=lambda index: _rank(names[index], seed))
    return sorted(ranked[count:]), sorted(ranked[:count])


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
