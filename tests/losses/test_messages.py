"""Every message: which argument, what was expected, what came."""

import re

import pytest
import torch

from skt_ext import losses
from skt_ext.losses import StructuredKnowledgeTransfer

A = torch.zeros(2, 3, 4, 5)
MAP = torch.zeros(2, 1, 4, 5)
META = torch.zeros(2, 3, 4, 5, device="meta")
REFUSED = "requires a gradient, but it is a fixed target: compute it under torch.no_grad() or pass"


def fixed_but_requiring_grad(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone().requires_grad_()


def transfer(**options: object) -> StructuredKnowledgeTransfer:
    return StructuredKnowledgeTransfer((3, 3), (3, 3), **options)


OF_THE_WRONG_TYPE = [
    (lambda: losses.cosine_transfer_loss([1.0], A), "student must be a tensor (N, C, H, W), got list"),
    (
        lambda: losses.cosine_transfer_loss(A, A.long()),
        "teacher must be float64, float32, float16 or bfloat16, got torch.int64",
    ),
    (lambda: losses.cosine_transfer_loss(A, A, eps="1"), "eps must be a number, got str"),
    (
        lambda: losses.dense_fsp_loss(A, [A, A]),
        "student_features must be a list of tensors (N, C, H, W), got Tensor",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=2.0),
        "size must be a whole number or a pair of them, got 2.0",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=(2, 2, 2)),
        "size must be a whole number or a pair of them, got (2, 2, 2)",
    ),
    (lambda: losses.density_map_loss(MAP, MAP, None), "soft must be a tensor (N, C, H, W), got NoneType"),
    (
        lambda: StructuredKnowledgeTransfer((1, 2.5), (1, 1)),
        "student_channels[1] must be a whole number, got float",
    ),
    (
        lambda: transfer(profile="released", weights=(0, 1, 0))([A, A], [A, A], MAP, None, None),
        "teacher_map must be a tensor (N, C, H, W), got NoneType",
    ),
]
OF_THE_WRONG_VALUE = [
    (lambda: losses.l2_transfer_loss(A[0], A), "student must have 4 axes (N, C, H, W), got shape (3, 4, 5)"),
    (
        lambda: losses.l2_transfer_loss(A[:, :0], A[:, :0]),
        "student must have C, H and W of at least 1, got (N, C, H, W) = (2, 0, 4, 5)",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A[:, :, :3]),
        "teacher must have the shape of student, (N, C, H, W) = (2, 3, 4, 5), got (2, 3, 3, 5)",
    ),
    (lambda: losses.cosine_transfer_loss(A, META), "teacher must be on the device of student, cpu, got meta"),
    (
        lambda: losses.cosine_transfer_loss(A, fixed_but_requiring_grad(A)),
        f"teacher {REFUSED} teacher.detach()",
    ),
    (
        lambda: losses.cosine_transfer_loss(A, A, reduction="mean"),
        "reduction must be one of 'sum', 'batchmean', 'none', got 'mean'",
    ),
    (lambda: losses.cosine_transfer_loss(A, A, eps=0.0), "eps must be finite and above 0, got 0.0"),
    (lambda: losses.cosine_transfer_loss(A, A, eps=float("nan")), "eps must be finite and above 0, got nan"),
    (
        lambda: losses.fsp_matrix(A, A[:1]),
        "second must have the N of first, 2, got (N, C, H, W) = (1, 3, 4, 5)",
    ),
    (
        lambda: losses.fsp_matrix(A, A[..., :2]),
        "second must have the W of first, 5, got (N, C, H, W) = (2, 3, 4, 2)",
    ),
    (lambda: losses.fsp_matrix(A, META), "second must be on the device of first, cpu, got meta"),
    (
        lambda: losses.fsp_matrix(A, A, normalize="batch"),
        "normalize must be one of None, 'instance', got 'batch'",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A]),
        "teacher_features must hold as many features as student_features, 2, got 1",
    ),
    (
        lambda: losses.dense_fsp_loss([A], [A]),
        "student_features must hold at least 2 features to compare, got 1",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A[:, :2]]),
        "teacher_features[1] must have the shape of student_features[1], (N, C, H, W) = (2, 3, 4, 5), got (2, 2, 4, 5)",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A[:1]], [A, A[:1]]),
        "student_features[1] must have the N of student_features[0], 2, got (N, C, H, W) = (1, 3, 4, 5)",
    ),
    (
        lambda: losses.dense_fsp_loss([A, META], [A, META]),
        "student_features[1] must be on the device of student_features[0], cpu, got meta",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A[..., :4]], [A, A[..., :4]]),
        "student_features[0] has W = 5, which no max pooling brings to W = 4",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=8),
        "student_features[0] has H = 4, which no max pooling brings to H = 8",
    ),
    (lambda: losses.dense_fsp_loss([A, A], [A, A], size=(0, 1)), "size must be at least 1, got 0"),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], pairs="sparse"),
        "pairs must be one of 'dense', 'adjacent', got 'sparse'",
    ),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, fixed_but_requiring_grad(A)]),
        f"teacher_features[1] {REFUSED} teacher_features[1].detach()",
    ),
    (
        lambda: losses.density_map_loss(A, MAP, MAP),
        "predicted must have one channel, (N, 1, H, W), got (2, 3, 4, 5)",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP[:1], MAP),
        "hard must have the shape of predicted, (N, C, H, W) = (2, 1, 4, 5), got (1, 1, 4, 5)",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, fixed_but_requiring_grad(MAP)),
        "soft requires a gradient, but it is a fixed target: compute it under torch.no_grad() or pass soft.detach()",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, MAP, soft_weight=-1),
        "soft_weight must be finite and at least 0, got -1",
    ),
    (
        lambda: losses.density_map_loss(MAP, MAP, MAP, hard_weight=float("inf")),
        "hard_weight must be finite and at least 0, got inf",
    ),
    (
        lambda: StructuredKnowledgeTransfer((), ()),
        "student_channels must hold at least one number of channels, got none",
    ),
    (lambda: StructuredKnowledgeTransfer((1, 0), (1, 1)), "student_channels[1] must be at least 1, got 0"),
    (
        lambda: StructuredKnowledgeTransfer((1, 2), (1,)),
        "teacher_channels must hold as many numbers as student_channels, 2, got 1",
    ),
    (lambda: transfer(profile="fast"), "profile must be one of 'paper', 'released', got 'fast'"),
    (
        lambda: transfer(weights=(1, 1)),
        "weights must be the three numbers (a1, a2, a3) of equation 8, got (1, 1)",
    ),
    (lambda: transfer(weights=(1, -1, 1)), "weights[1] must be finite and at least 0, got -1"),
    (lambda: transfer(reduction="none"), "reduction must be one of 'sum', 'batchmean', got 'none'"),
    (lambda: transfer()([A], [A, A], MAP, MAP, MAP), "student_features must hold 2 features, got 1"),
    (
        lambda: transfer()([A, A[:, :2]], [A, A], MAP, MAP, MAP),
        "student_features[1] must have C = 3, as student_channels says, got (N, C, H, W) = (2, 2, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A[:, :1], A], MAP, MAP, MAP),
        "teacher_features[0] must have C = 3, as teacher_channels says, got (N, C, H, W) = (2, 1, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A, A], A, MAP, MAP),
        "student_map must have one channel, (N, 1, H, W), got (2, 3, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A, A], MAP, MAP, MAP[:1]),
        "target must have the shape of student_map, (N, C, H, W) = (2, 1, 4, 5), got (1, 1, 4, 5)",
    ),
    (
        lambda: transfer()([A, A], [A, A], MAP, fixed_but_requiring_grad(MAP), MAP),
        f"teacher_map {REFUSED} teacher_map.detach()",
    ),
    (lambda: losses.cosine_transfer_loss(A, A, eps=10**400), "eps must be finite and above 0, got inf"),
    (
        lambda: losses.dense_fsp_loss([A, A], [A, A], size=2**63),
        "student_features[0] has H = 4, which no max pooling brings to H = 9223372036854775808",
    ),
    (
        lambda: transfer(profile="released")([A, A], [A, A], *[MAP[:, :, :2]] * 3),
        "student_map has H = 2, which no max pooling brings to H = 4",
    ),
    (
        lambda: transfer()([A, A], [A, A], *[MAP[:1]] * 3),
        "student_map must have the N of student_features[0], 2, got (N, C, H, W) = (1, 1, 4, 5)",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), OF_THE_WRONG_TYPE, ids=[message[:60] for _, message in OF_THE_WRONG_TYPE]
)
def test_wrong_type(call, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize(
    ("call", "message"), OF_THE_WRONG_VALUE, ids=[message[:60] for _, message in OF_THE_WRONG_VALUE]
)
def test_wrong_value(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
