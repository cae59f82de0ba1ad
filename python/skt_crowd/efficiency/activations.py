"""Memory that a network's forward pass needs at its peak, counted without computing anything."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skt_crowd.efficiency.dry_run import dry_copy, dry_run


def peak_activation_bytes(model: nn.Module, height: int, width: int) -> int:
    """Bytes of all tensors alive at once, at their most, in a float32 forward without gradients; image included.

    Weights do not count, nor does scratch memory of the convolution library. Each tensor counts from the moment an
    operator returns it until its last reference is gone, so what a module holds on to longer than it needs is seen.

    Args:
        model: a crowd counter; it is copied, not changed.
        height, width: of the image, in pixels.

    >>> peak_activation_bytes(nn.Conv2d(3, 8, 1), 10, 20)  # (3 + 8) channels of 200 pixels, 4 bytes each
    8800
    """
    live = _LiveBytes()
    dry_run(dry_copy(model), height, width, watch=live)
    return live.peak


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operators return, and subtracts each when it dies."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: set[int] = set()
        self.alive = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for storage in _storages(output):
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                size = storage.nbytes()
                self.alive += size
                weakref.finalize(storage, self._forget, storage._cdata, size)
        self.peak = max(self.peak, self.alive)
        return output

    def _forget(self, identity: int, size: int) -> None:
        self.alive -= size
        self.known.discard(identity)


def _storages(output: Any) -> Iterator[torch.UntypedStorage]:
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            yield leaf.untyped_storage()
