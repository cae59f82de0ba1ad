"""Which window brings a feature to the common size."""

import pytest
import torch
import torch.nn.functional as F

from skt_ext import losses
from skt_ext._feature_distances import pooling_kernel


@pytest.mark.parametrize(
    ("size", "target", "kernel"),
    [
        (8, 8, 1),
        (576, 72, 8),
        (683, 86, 8),  # ceil(683 / 8)
        (1, 1, 1),
        (3, 1, 4),  # 3 would do as well; networks halve
        (5, 2, 4),  # 3 would do as well
        (7, 3, 3),  # 2 gives 4, 4 gives 2: only 3 fits
        (100, 10, 10),
        (7, 5, 0),  # 1 gives 7, 2 gives 4
        (4, 8, 0),  # nothing enlarges
    ],
)
def test_kernel(size, target, kernel):
    assert pooling_kernel(size, target) == kernel


def test_every_result_gives_the_target_and_is_missed_only_where_there_is_none():
    for size in range(1, 60):
        for target in range(1, 70):
            kernel = pooling_kernel(size, target)
            possible = any(-(-size // k) == target for k in range(1, size + 1))
            assert (kernel != 0) == possible
            if kernel:
                assert -(-size // kernel) == target


@pytest.mark.parametrize("size", [1, 5, 37, 86])
def test_one_pooling_equals_repeated_halving(size):
    """Why powers of two are preferred: the features of a network with ceil-mode pools stay comparable."""
    feature = torch.rand(1, 2, size, 3)
    halved = feature
    for _ in range(3):
        halved = F.max_pool2d(halved, (2, 1), ceil_mode=True)
    kernel = pooling_kernel(size, halved.shape[2])
    assert torch.equal(F.max_pool2d(feature, (kernel, 1), ceil_mode=True), halved)


def test_size_may_be_given():
    student, teacher = torch.rand(2, 1, 2, 6, 8, dtype=torch.float64)
    features = [student, student.flip(3)], [teacher, teacher.flip(3)]
    pooled = [[F.max_pool2d(feature, 2) for feature in group] for group in features]
    torch.testing.assert_close(losses.dense_fsp_loss(*features, size=(3, 4)), losses.dense_fsp_loss(*pooled))
    square = [[feature[..., :6] for feature in group] for group in features]
    torch.testing.assert_close(
        losses.dense_fsp_loss(*square, size=3), losses.dense_fsp_loss(*square, size=(3, 3))
    )
