"""Inputs shared by the tests of the losses."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from skt_ext import losses, reference
from tests.support.random_features import FLOATS, random_feature

# Gradients and values computed in float32 or float64 and rounded once to the dtype.
TOLERANCES = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.float16: {"rtol": 2e-3, "atol": 1e-4},
    torch.bfloat16: {"rtol": 1.6e-2, "atol": 1e-4},
}

of_every_dtype = pytest.mark.parametrize("dtype", FLOATS, ids=str)
of_every_reduction = pytest.mark.parametrize("reduction", ["sum", "batchmean", "none"])
in_every_layout = pytest.mark.parametrize("layout", ["contiguous", "channels_last", "permuted"])


def feature_pyramid(
    batch: int, seed: int, height: int = 13, width: int = 9, **options: object
) -> list[Tensor]:
    """Features of a network with strides 1, 2, 4 and 4 on an image that no stride divides."""
    half, quarter = (-(-height // 2), -(-width // 2)), (-(-height // 4), -(-width // 4))
    return [
        random_feature((batch, 3, height, width), seed=seed, **options),
        random_feature((batch, 5, *half), seed=seed + 1, **options),
        random_feature((batch, 4, *quarter), seed=seed + 2, **options),
        random_feature((batch, 2, *quarter), seed=seed + 3, **options),
    ]


def requiring_grad(features: list[Tensor]) -> list[Tensor]:
    return [feature.detach().clone().requires_grad_() for feature in features]


Loss = Callable[..., Tensor]


def losses_of_features() -> Iterator[tuple[str, Loss, Loss]]:
    """(name, ours, reference): each takes lists of student and teacher features, and a reduction."""

    def of_first(loss: Loss) -> Loss:
        return lambda student, teacher, **options: loss(student[0], teacher[0], **options)

    def with_options(loss: Loss, **fixed: object) -> Loss:
        return lambda student, teacher, **options: loss(student, teacher, **fixed, **options)

    yield "cosine", of_first(losses.cosine_transfer_loss), of_first(reference.cosine_transfer_loss)
    yield "l2", of_first(losses.l2_transfer_loss), of_first(reference.l2_transfer_loss)
    for normalize in (None, "instance"):
        for pairs in ("dense", "adjacent"):
            options = {"normalize": normalize, "pairs": pairs}
            yield (
                f"fsp-{normalize}-{pairs}",
                with_options(losses.dense_fsp_loss, **options),
                with_options(reference.dense_fsp_loss, **options),
            )


for_every_loss = pytest.mark.parametrize(
    ("ours", "true"),
    [pytest.param(ours, true, id=name) for name, ours, true in losses_of_features()],
)
