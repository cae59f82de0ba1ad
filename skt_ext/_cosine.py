"""The sum of cosine distances, made together with its gradient."""

import torch
from torch import Tensor


def summed_cosine_distance(student: Tensor, teacher: Tensor, eps: float, expected_gradient: float) -> Tensor:
    """Sum over images and pixels of the cosine distance of student and teacher, (N, C, H, W) each -> ().

    `expected_gradient` is what backward is expected to bring for the sum: the gradient is made for it in the
    forward pass, and any other value costs a pass over it.
    """
    if student.dtype == torch.float16:
        # A gradient kept in float16 before a gradient scaler's factor reaches it would lose its small values.
        distance, _ = torch.ops.skt_ext.cosine_distance(student, teacher, eps)
        total: Tensor = distance.sum()
        return total
    wants_gradient = torch.is_grad_enabled() and student.requires_grad
    # A traced graph must not depend on the batch's size; there the factor joins another pass.
    scale = 1.0 if torch.compiler.is_compiling() else expected_gradient
    loss: Tensor = torch.ops.skt_ext.cosine_loss(student, teacher, eps, scale, wants_gradient)[0]
    return loss
