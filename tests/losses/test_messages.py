"""Every message: which argument, what was expected, what came."""

import re

import pytest
import torch

from skt_ext import losses
from skt_ext.losses import StructuredKnowledgeTransfer

A = torch.zeros(2, 3, 4, 5)
MAP = torch.zeros(2, 1, 4, 5)
META = torch.zeros(2, 3, 4, 5, device="meta")


def fixed_but_requiring_grad(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_()


def transfer(**options: object) -> StructuredKnowledgeTransfer:
    return StructuredKnowledgeTransfer((3, 3), (3, 3), **options)


CALLS = [
    # features
    (
        lambda: losses.cosine_transfer_loss([1.0], A),
        TypeError,
        "student must be a tensor (N, C, H, W), got list",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A.long()),
        TypeError,
        "teacher must be float64, float32, float16 or bfloat16, got torch.int64",
    ),
    (
        lambda: losses.l2_transfer_loss(A[0], A),
        ValueError,
        "student must have 4 axes (N, C, H, W), got shape (3, 4, 5)",
    ),
    (
        lambda: losses.l2_transfer_loss(A[:, :0], A[:, :0]),
        ValueError,
        "student must have C, H and W of at least 1, got (N, C, H, W) = (2, 0, 4, 5)",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A[:, :, :3]),
        ValueError,
        "teacher must have the shape of student, (N, C, H, W) = (2, 3, 4, 5), got (2, 3, 3, 5)",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, META),
        ValueError,
        "teacher must be on the device of student, cpu, got meta",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, fixed_but_requiring_grad(A)),
        ValueError,
        "teacher requires a gradient, but it is a fixed target: compute it under torch.no_grad() or pass "
        "teacher.detach()",
    ),
    # options
    (
        lambda: losses.cosine_transfer_loss(A, A, reduction="mean"),
        ValueError,
        "reduction must be one of 'sum', 'batchmean', 'none', got 'mean'",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A, eps=0.0),
        ValueError,
        "eps must be finite and above 0, got 0.0",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A, eps=float("nan")),
        ValueError,
        "eps must be finite and above 0, got nan",
    ),
    (lambda: losses.cosine_transfer_loss(A, A, eps="1"), TypeError, "eps must be a number, got str"),
    # FSP matrix
    (
        lambda: losses.fsp_matrix(A, A[:1]),
        ValueError,
        "second must have the N of first, 2, got (N, C, H, W) = (1, 3, 4, 5)",
    ),
    (
        lambda: losses.fsp_matrix(A, A[..., :2]),
        ValueError,
        "second must have the W of first, 5, got (N, C, H, W) = (2, 3, 4, 2)",
    ),
    (
        lambda: losses.fsp_matrix(A, META),
        ValueError,
        "second must be on the device of first, cpu, got meta",
    ),
    (
        lambda: losses.fsp_matrix(A, A, normalize="batch"),
        ValueError,
        "normalize must be one of None, 'instance', got 'batch'",
    ),
    # dense FSP
    (
        lambda: losses.dense_fsp_loss(A, [A, A]),
        TypeError,
        "student_features must be a list of tensors (N, C, H, W), got Tensor",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A]),
        ValueError,
        "teacher_features must hold as many features as student_features, 2, got 1",
    ),
    (
        lambda: losses.dense_fsp_loss([A], [A]),
        ValueError,
        "student_features must hold at least 2 features to compare, got 1",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A[:, :2]]),
        ValueError,
        "teacher_features[1] must have the shape of student_features[1], (N, C, H, W) = (2, 3, 4, 5), "
        "got (2, 2, 4, 5)",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A[:1]], [A, A[:1]]),
        ValueError,
        "student_features[1] must have the N of student_features[0], 2, got (N, C, H, W) = (1, 3, 4, 5)",
    ),
    (
        lambda: losses.dense_fsp_loss([A, META], [A, META]),
        ValueError,
        "student_features[1] must be on the device of student_features[0], cpu, got meta",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A[..., :4]], [A, A[..., :4]]),
        ValueError,
        "student_features[0] has W = 5, which no max pooling brings to W = 4",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=8),
        ValueError,
        "student_features[0] has H = 4, which no max pooling brings to H = 8",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=(0, 1)),
        ValueError,
        "size must be at least 1, got 0",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=2.0),
        TypeError,
        "size must be a whole number or a pair of them, got 2.0",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=(2, 2, 2)),
        TypeError,
        "size must be a whole number or a pair of them, got (2, 2, 2)",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], pairs="sparse"),
        ValueError,
        "pairs must be one of 'dense', 'adjacent', got 'sparse'",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, fixed_but_requiring_grad(A)]),
        ValueError,
        "teacher_features[1] requires a gradient, but it is a fixed target: compute it under torch.no_grad() "
        "or pass teacher_features[1].detach()",
    ),
    # density maps
    (
        lambda: losses.density_map_loss(A, MAP, MAP),
        ValueError,
        "predicted must have one channel, (N, 1, H, W), got (2, 3, 4, 5)",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP[:1], MAP),
        ValueError,
        "hard must have the shape of predicted, (N, C, H, W) = (2, 1, 4, 5), got (1, 1, 4, 5)",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, None),
        TypeError,
        "soft must be a tensor (N, C, H, W), got NoneType",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, fixed_but_requiring_grad(MAP)),
        ValueError,
        "soft requires a gradient, but it is a fixed target: compute it under torch.no_grad() "
        "or pass soft.detach()",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, MAP, soft_weight=-1),
        ValueError,
        "soft_weight must be finite and at least 0, got -1",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, MAP, hard_weight=float("inf")),
        ValueError,
        "hard_weight must be finite and at least 0, got inf",
    ),
    # the module
    (
        lambda: StructuredKnowledgeTransfer((), ()),
        ValueError,
        "student_channels must hold at least one number of channels, got none",
    ),
    (
        lambda: StructuredKnowledgeTransfer((1, 0), (1, 1)),
        ValueError,
        "student_channels[1] must be at least 1, got 0",
    ),
    (
        lambda: StructuredKnowledgeTransfer((1, 2.5), (1, 1)),
        TypeError,
        "student_channels[1] must be a whole number, got float",
    ),
    (
        lambda: StructuredKnowledgeTransfer((1, 2), (1,)),
        ValueError,
        "teacher_channels must hold as many numbers as student_channels, 2, got 1",
    ),
    (
        lambda: transfer(profile="fast"),
        ValueError,
        "profile must be one of 'paper', 'released', got 'fast'",
    ),
    (
        lambda: transfer(weights=(1, 1)),
        ValueError,
        "weights must be the three numbers (a1, a2, a3) of equation 8, got (1, 1)",
    ),
    (
        lambda: transfer(weights=(1, -1, 1)),
        ValueError,
        "weights[1] must be finite and at least 0, got -1",
    ),
    (
        lambda: transfer(reduction="none"),
        ValueError,
        "reduction must be one of 'sum', 'batchmean', got 'none'",
    ),
    (
        lambda: transfer()([A], [A, A], MAP, MAP, MAP),
        ValueError,
        "student_features must hold 2 features, got 1",
    ),
    (
        lambda: transfer()([A, A[:, :2]], [A, A], MAP, MAP, MAP),
        ValueError,
        "student_features[1] must have C = 3, as student_channels says, got (N, C, H, W) = (2, 2, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A[:, :1], A], MAP, MAP, MAP),
        ValueError,
        "teacher_features[0] must have C = 3, as teacher_channels says, got (N, C, H, W) = (2, 1, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A, A], A, MAP, MAP),
        ValueError,
        "student_map must have one channel, (N, 1, H, W), got (2, 3, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A, A], MAP, MAP, MAP[:1]),
        ValueError,
        "target must have the shape of student_map, (N, C, H, W) = (2, 1, 4, 5), got (1, 1, 4, 5)",
    ),
    (
        lambda: transfer(profile="released", weights=(0, 1, 0))([A, A], [A, A], MAP, None, None),
        TypeError,
        "teacher_map must be a tensor (N, C, H, W), got NoneType",
    ),
    (
        lambda: transfer()([A, A], [A, A], MAP, fixed_but_requiring_grad(MAP), MAP),
        ValueError,
        "teacher_map requires a gradient, but it is a fixed target: compute it under torch.no_grad() or pass "
        "teacher_map.detach()",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), CALLS, ids=[message[:60] for *_, message in CALLS])
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
