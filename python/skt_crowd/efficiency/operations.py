"""Parameters and operations of a network for one image, counted without computing anything."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skt_crowd.efficiency.dry_run import dry_copy, dry_run


def parameters(model: nn.Module) -> int:
    """Number of learnable parameters of the network, without buffers."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, height: int, width: int) -> int:
    """Multiply-adds of every convolution and matrix product for one image: what is really computed.

    Counted on the operators that torch really runs (``torch.utils.flop_counter``), so nothing a module does in its
    forward is missed; biases, activations, pools and interpolation are not counted. One multiply-add is two
    floating point operations.

    Args:
        model: a crowd counting model; it is copied, not changed.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Example:
        >>> count_macs(nn.Conv2d(3, 8, 3, padding=1), 10, 20)  # 3 * 3 * 3 * 8 for each of 200 pixels
        43200
    """
    with FlopCounterMode(display=False) as counter:
        dry_run(dry_copy(model), height, width)
    return int(counter.get_total_flops()) // 2


def count_ptflops2020(model: nn.Module, height: int, width: int) -> int:
    """ "FLOPs" of Tables 1, 2 and 8 for one image, in the convention those tables follow.

    The convention is that of the counting tool ptflops in 2020, which looks at modules only:

    * a convolution: its multiply-adds (one each, not two), and one for each output value if it has a bias
    * a transposed convolution: multiply-adds over its *input*, and a bias counted as channels x height x height,
      an error of the tool where an image is not square
    * ReLU and PReLU modules: one for each output value; max and average pools: one for each *input* value; batch
      norm: two for each value if it has weights, else one; ``nn.Upsample``: one for each output value
    * everything else, functional calls and subclasses of the modules above among them, counts as nothing, which
      makes DSSINet look an eighth cheaper than it is

    Args:
        model: a crowd counting model; it is copied, not changed.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Example:
        >>> count_ptflops2020(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), 10, 20)  # + bias, + ReLU
        46400
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _PTFLOPS[type(module)](module, inputs[0], output)

    model = dry_copy(model)
    for module in model.modules():
        if type(module) in _PTFLOPS:  # exactly this type: the tool knows no subclasses
            module.register_forward_hook(add)
    dry_run(model, height, width)
    return total


def _convolution(module: nn.Module, image: Tensor, output: Tensor) -> int:
    assert isinstance(module, nn.Conv2d)
    pixels = output.shape[0] * output.shape[2] * output.shape[3]
    return pixels * (module.weight.numel() + (module.out_channels if module.bias is not None else 0))


def _transposed_convolution(module: nn.Module, image: Tensor, output: Tensor) -> int:
    assert isinstance(module, nn.ConvTranspose2d)
    products = image.shape[0] * image.shape[2] * image.shape[3] * module.weight.numel()
    bias = module.out_channels * output.shape[2] * output.shape[2] if module.bias is not None else 0
    return products + bias


def _each_output(module: nn.Module, image: Tensor, output: Tensor) -> int:
    return output.numel()


def _each_input(module: nn.Module, image: Tensor, output: Tensor) -> int:
    return image.numel()


def _batch_norm(module: nn.Module, image: Tensor, output: Tensor) -> int:
    assert isinstance(module, nn.BatchNorm2d)
    return image.numel() * (2 if module.affine else 1)


_PTFLOPS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], int]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed_convolution,
    nn.ReLU: _each_output,
    nn.PReLU: _each_output,
    nn.Upsample: _each_output,
    nn.MaxPool2d: _each_input,
    nn.AvgPool2d: _each_input,
    nn.AdaptiveAvgPool2d: _each_input,
    nn.BatchNorm2d: _batch_norm,
}
