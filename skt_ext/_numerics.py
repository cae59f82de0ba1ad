"""In which precision and memory format a loss is computed, and how it is reduced."""

import torch
from torch import Tensor

REDUCTIONS = ("sum", "batchmean", "none")


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 if any of the tensors is float64, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def memory_format_of(tensor: Tensor) -> torch.memory_format:
    """The format of an operator's (N, C, H, W) output: channels_last where the input is, else contiguous."""
    if not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which autocast does not lower the precision of a loss."""
    return torch.autocast(device_type=device.type, enabled=False)


def squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """(student - teacher)^2, element by element, in the precision of a loss."""
    dtype = accumulation_dtype(student, teacher)
    return (student.to(dtype) - teacher.to(dtype)).square()


def reduce(values: Tensor, reduction: str) -> Tensor:
    """(N, ...) -> its sum, its sum divided by N ("batchmean", 0 for an empty batch), or itself ("none")."""
    if reduction == "none":
        return values
    total = values.sum()
    return total / max(values.shape[0], 1) if reduction == "batchmean" else total
