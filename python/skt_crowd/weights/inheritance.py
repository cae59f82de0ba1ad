"""Start a thin model from the filters of a wide one."""

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models import CrowdModel
from skt_crowd.models.base import IMAGE, ChannelNode


def inherit_filters(student: CrowdModel, teacher: CrowdModel) -> None:
    """Copy the teacher's filters with the largest L1 norm into the student, layer by layer, in place.

    Of each convolution the student keeps as many filters as it is wide, those with the largest sum of absolute
    weights (the rule of Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017), and of each of these the
    input channels that the layers before kept. A filter that lost inputs is scaled up to its former L2 norm, so
    that activations neither vanish nor explode over seventeen layers. Layers whose outputs are added to another
    layer's keep that one's channels; batch norms and slopes are copied. The result counts badly and learns fast.

    Not part of the paper, whose students start at random and learn for over a million updates.

    Raises:
        UsageError: another architecture, or a student wider than the teacher.

    Example:
        >>> from skt_crowd.models import build_model
        >>> teacher, student = build_model("csrnet", "1/8"), build_model("csrnet", "1/16")
        >>> inherit_filters(student, teacher)
    """
    if student.name != teacher.name or student.channel_preservation_rate > teacher.channel_preservation_rate:
        raise UsageError(
            f"{student.label} cannot inherit from {teacher.label}: expected the same network, at least as wide"
        )
    kept: dict[str, torch.Tensor] = {}  # for each layer, the teacher's output channels that the student has
    with torch.no_grad():
        for node in teacher.channel_graph():
            ours, theirs = student.get_submodule(node.layer), teacher.get_submodule(node.layer)
            chosen = kept[node.channels] if node.channels is not None else _strongest(theirs, ours)
            if isinstance(theirs, nn.BatchNorm2d):
                _copy_channels(ours, theirs, chosen)
            else:
                _copy_filters(ours, theirs, chosen, _inputs(node, teacher, kept))
            kept[node.layer] = chosen
        _copy_slopes(student, teacher)


def _strongest(theirs: nn.Module, ours: nn.Module) -> torch.Tensor:
    """The filters with the largest L1 norm, as many as the student has, in the teacher's order: (c_out,)."""
    strength = _filters(theirs).abs().sum((1, 2, 3))  # (C_out,)
    return strength.topk(_filters(ours).shape[0]).indices.sort().values


def _inputs(node: ChannelNode, teacher: CrowdModel, kept: dict[str, torch.Tensor]) -> torch.Tensor:
    """Which of the teacher's input channels the student's layer reads: (c_in,)."""
    if node.inputs == (IMAGE,):
        return torch.arange(_filters(teacher.get_submodule(node.layer)).shape[1])
    parts, offset = [], 0
    for source in node.inputs:
        parts.append(kept[source] + offset)
        offset += _filters(teacher.get_submodule(source)).shape[0]
    return torch.cat(parts)


def _copy_filters(ours: nn.Module, theirs: nn.Module, chosen: torch.Tensor, inputs: torch.Tensor) -> None:
    whole = _filters(theirs)[chosen]  # (c_out, C_in, k, k)
    part = whole[:, inputs]  # (c_out, c_in, k, k)
    scale = whole.flatten(1).norm(dim=1) / part.flatten(1).norm(dim=1).clamp(min=1e-12)
    _filters(ours).copy_(part * scale.view(-1, 1, 1, 1))
    if theirs.bias is not None:
        ours.get_parameter("bias").copy_(theirs.get_parameter("bias")[chosen])


def _filters(layer: nn.Module) -> torch.Tensor:
    """(C_out, C_in, k, k), a view of the weights; a transposed convolution stores them the other way round."""
    weight = layer.get_parameter("weight")
    return weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight


def _copy_channels(ours: nn.Module, theirs: nn.Module, chosen: torch.Tensor) -> None:
    """Weight, bias and running statistics of a batch norm."""
    state = ours.state_dict()
    for name, values in theirs.state_dict().items():
        state[name].copy_(values[chosen] if values.ndim else values)


def _copy_slopes(student: CrowdModel, teacher: CrowdModel) -> None:
    """The slope of each PReLU: one number, whatever the width."""
    for path, module in teacher.named_modules():
        if isinstance(module, nn.PReLU):
            student.get_parameter(f"{path}.weight").copy_(module.weight)
