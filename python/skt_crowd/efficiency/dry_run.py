"""A forward pass that calls every operator and computes nothing, however large the image."""

import copy
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode


def dry_copy(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode, for hooks and dry runs."""
    return copy.deepcopy(model).eval()


def dry_run(
    model: nn.Module, height: int, width: int, *, watch: AbstractContextManager[object] | None = None
) -> Tensor:
    """Run ``model`` on an image of zeros (1, 3, height, width) made of shapes alone.

    Args:
        model: a crowd counting model; real weights or weights on the meta device.
        height, width: of the image, in pixels.
        watch: a context around the forward pass, such as a dispatch mode that looks at what operators return.
    """
    with FakeTensorMode() as shapes, torch.no_grad():
        # Fake tensors rather than the meta device, which has no autocast: a network may enter it.
        state = {
            name: torch.empty(value.shape, dtype=value.dtype) if value.is_meta else shapes.from_tensor(value)
            for name, value in {**dict(model.named_parameters()), **dict(model.named_buffers())}.items()
        }
        with watch if watch is not None else nullcontext():
            image = torch.zeros(1, 3, height, width)
            output: Tensor = torch.func.functional_call(model, state, (image,))
    return output
