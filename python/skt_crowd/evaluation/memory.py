"""How much memory a forward pass takes for each pixel of its image."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 2**30
DEFAULT_BUDGET = 2 * GIB  # bytes above the weights

_SMALL, _LARGE = 64, 128  # pixels along the sides of the images that are measured


def activation_bytes(forward: Callable[[int], object], side: int) -> int:
    """The largest total of tensors alive at once, of those that ``forward(side)`` makes: bytes.

    What a convolution's library sets aside for itself is not in it.

    >>> activation_bytes(lambda side: torch.nn.Conv2d(3, 4, 1)(torch.zeros(1, 3, side, side)).relu(), 10)
    4464
    """
    alive = _AliveBytes()
    with alive:
        forward(side)
    return alive.peak


def activation_bytes_per_pixel(forward: Callable[[int], object]) -> float:
    """By how much :func:`activation_bytes` grows with each pixel; what does not grow cancels out.

    Args:
        forward: makes a square image of the given side and runs a model on it.
    """
    small, large = activation_bytes(forward, _SMALL), activation_bytes(forward, _LARGE)
    return (large - small) / (_LARGE**2 - _SMALL**2)


class _AliveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operators make, and takes each off when the last tensor on it is gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        weakref.finalize(storage, self._remove, key, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
