"""Start a thin counter from the filters of a wide one."""

from itertools import pairwise

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models.base import CrowdCounter


def inherit_filters(student: CrowdCounter, teacher: CrowdCounter) -> None:
    """Copy the teacher's filters with the largest L1 norm into the student, layer by layer, in place.

    Of each convolution the student keeps as many filters as it is wide, those with the largest sum of absolute
    weights (the rule of Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017), and of each of these the
    input channels that the layer before kept. A filter that lost inputs is scaled up to its former L2 norm, so
    that activations neither vanish nor explode over seventeen layers. The result counts badly and learns fast.

    Not part of the paper, whose students start at random and learn for over a million updates.

    Raises:
        UsageError: another architecture, or a student wider than the teacher.

    >>> from skt_crowd.models import build_model
    >>> teacher, student = build_model("csrnet", "1/8"), build_model("csrnet", "1/16")
    >>> inherit_filters(student, teacher)
    """
    if student.name != teacher.name or student.channel_preservation_rate > teacher.channel_preservation_rate:
        raise UsageError(
            f"{student.label} cannot inherit from {teacher.label}: expected the same network, at least as wide"
        )
    kept = torch.arange(3)  # the colours
    with torch.no_grad():
        for ours, theirs in zip(_convolutions(student), _convolutions(teacher), strict=True):
            strength = theirs.weight.abs().sum((1, 2, 3))  # (C_out,)
            chosen = strength.topk(ours.out_channels).indices.sort().values
            whole = theirs.weight[chosen]  # (c_out, C_in, k, k)
            part = whole[:, kept]  # (c_out, c_in, k, k)
            scale = whole.flatten(1).norm(dim=1) / part.flatten(1).norm(dim=1).clamp(min=1e-12)
            ours.weight.copy_(part * scale.view(-1, 1, 1, 1))
            assert ours.bias is not None
            assert theirs.bias is not None
            ours.bias.copy_(theirs.bias[chosen])
            kept = chosen


def _convolutions(model: CrowdCounter) -> list[nn.Conv2d]:
    """The convolutions from the image to the map, each of which feeds only the next."""
    chain = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if any(before.out_channels != after.in_channels for before, after in pairwise(chain)):
        raise UsageError(
            f"{model.label} is not a plain chain of convolutions; its filters cannot be inherited"
        )
    return chain
