"""From a loss per pixel or per image to what the caller asked for."""

from torch import Tensor

REDUCTIONS = ("sum", "batchmean", "none")


def reduce(values: Tensor, reduction: str) -> Tensor:
    """(N, ...) -> its sum, its sum divided by N ("batchmean", 0 for an empty batch), or itself ("none")."""
    if reduction == "none":
        return values
    total = values.sum()
    return total / max(values.shape[0], 1) if reduction == "batchmean" else total
