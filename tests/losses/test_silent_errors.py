"""What could pass for a result and is none: lost derivatives, lost NaN, lost small values."""

import numpy as np
import pytest
import torch
from torch import Tensor

from skt_ext import losses, reference
from skt_ext.losses import StructuredKnowledgeTransfer
from tests.losses import loss_samples
from tests.losses.loss_samples import feature_pyramid, requiring_grad
from tests.support.random_features import on_every_device, random_feature


@loss_samples.for_every_loss
def test_forward_mode_gives_the_derivative_or_raises(ours, true, request):
    student, teacher, tangents = (feature_pyramid(1, seed=seed) for seed in (1, 11, 21))

    def derivative(loss: loss_samples.Loss) -> Tensor:
        return torch.func.jvp(lambda *features: loss(features, teacher), tuple(student), tuple(tangents))[1]

    if "l2" in request.node.callspec.id:  # plain torch
        torch.testing.assert_close(derivative(ours), derivative(true))
    else:
        assert derivative(true) != 0
        with pytest.raises(NotImplementedError, match="has no forward-mode derivative"):
            derivative(ours)


def test_forward_mode_of_the_other_losses():
    feature, one_map = random_feature((1, 2, 4, 4), seed=1), random_feature((1, 1, 4, 4), seed=2)
    transfer = StructuredKnowledgeTransfer((2,), (2,)).double()

    def total(features: Tensor, map_: Tensor, weight: Tensor) -> Tensor:
        arguments = ([features], [feature], map_, one_map, one_map)
        return torch.func.functional_call(transfer, {"embeddings.0.weight": weight}, arguments).total

    values = (feature, one_map, transfer.embeddings[0].weight.detach())
    for index in (0, 2):
        with pytest.raises(NotImplementedError, match="has no forward-mode derivative"):
            torch.func.jvp(
                lambda value, index=index: total(*values[:index], value, *values[index + 1 :]),
                (values[index],),
                (values[index],),
            )
    with pytest.raises(NotImplementedError, match="pool_and_pack has no forward-mode derivative"):
        torch.func.jvp(lambda second: losses.fsp_matrix(feature, second), (feature,), (feature,))
    compiled = torch.compile(losses.cosine_transfer_loss, backend="aot_eager")
    with pytest.raises(NotImplementedError, match="cosine_loss has no forward-mode derivative"):
        torch.func.jvp(lambda student: compiled(student, feature), (feature,), (feature,))


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_second_derivative_does_not_pass_for_zero(reduction):
    student, teacher = random_feature((1, 3, 4, 4)).requires_grad_(), random_feature((1, 3, 4, 4), seed=1)
    loss = losses.cosine_transfer_loss(student, teacher, reduction=reduction).sum()
    with pytest.raises(RuntimeError, match="cosine_loss has no second derivative"):
        torch.autograd.grad(loss, student, create_graph=True)


@on_every_device
@loss_samples.for_every_loss
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_nan_of_the_student_is_a_nan_of_its_gradient(ours, true, layout, device):
    features = feature_pyramid(2, seed=1, layout=layout, device=device)
    features[0][0, 1, 5, 3] = torch.nan
    teacher = feature_pyramid(2, seed=11, layout=layout, device=device)
    gradients = []
    for loss in (ours, true):
        student = requiring_grad(features)
        value = loss(student, teacher)
        assert value.isnan()
        gradients.append(torch.autograd.grad(value, student, allow_unused=True))
    for gradient, expected in zip(*gradients, strict=True):
        if expected is not None:
            assert gradient.isnan()[expected.isnan()].all()


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_a_nan_of_the_student_reaches_the_embedding(profile):
    transfer = StructuredKnowledgeTransfer((2, 2), (3, 3), profile=profile)
    student, teacher = torch.rand(2, 1, 2, 4, 4), torch.rand(2, 1, 3, 4, 4)
    student[0, 0, 1, 2, 3] = torch.nan
    maps = torch.rand(3, 1, 1, 4, 4)
    transfer(list(student), list(teacher), *maps).total.backward()
    assert transfer.embeddings[0].weight.grad.isnan().any()


def test_a_float16_gradient_keeps_what_a_gradient_scaler_will_need():
    student, teacher = (
        1e4 * random_feature((1, 64, 3, 3), seed=seed, dtype=torch.float16) for seed in (1, 2)
    )
    exact = student.double().requires_grad_()
    student.requires_grad_()
    factor = 2.0**16
    (gradient,) = torch.autograd.grad(losses.cosine_transfer_loss(student, teacher) * factor, student)
    truth = reference.cosine_transfer_loss(exact, teacher.double()) * factor
    (expected,) = torch.autograd.grad(truth, exact)
    assert expected.abs().median() / factor < 6e-6  # in float16 it would have lost most of its bits
    torch.testing.assert_close(gradient.double(), expected, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("normalize", [None, "instance"])
def test_windows_of_more_than_256_pixels(normalize):
    student = requiring_grad([random_feature((2, 3, 40, 23), seed=1), random_feature((2, 2, 2, 2), seed=2)])
    teacher = [random_feature((2, 3, 40, 23), seed=3), random_feature((2, 2, 2, 2), seed=4)]
    options = {"normalize": normalize}
    value, expected = (
        losses.dense_fsp_loss(student, teacher, **options),
        reference.dense_fsp_loss(student, teacher, **options),
    )
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, student), torch.autograd.grad(expected, student))


def test_an_embedded_feature_with_windows_of_more_than_256_pixels():
    transfer = StructuredKnowledgeTransfer((2, 3), (4, 3)).double()
    student = requiring_grad([random_feature((2, 2, 40, 23), seed=1), random_feature((2, 3, 2, 2), seed=2)])
    teacher = [random_feature((2, 4, 40, 23), seed=3), random_feature((2, 3, 2, 2), seed=4)]
    maps = [random_feature((2, 1, 2, 2), seed=seed) for seed in (5, 6, 7)]
    loss = transfer(student, teacher, *maps)
    embedded = transfer.embed(student)
    intra = sum(map(reference.cosine_transfer_loss, embedded, teacher))
    inter = reference.dense_fsp_loss(embedded, teacher)
    torch.testing.assert_close((loss.intra, loss.inter), (intra, inter))
    sources = [*student, *transfer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(0.5 * loss.intra + 0.5 * loss.inter, sources),
        torch.autograd.grad(0.5 * intra + 0.5 * inter, sources),
    )


def test_numbers_of_numpy_are_numbers():
    features = [random_feature((1, 2, 4, 4), seed=seed) for seed in (1, 2)]
    plain = losses.dense_fsp_loss(features, features[::-1], size=(2, 2))
    for size in (np.int64(2), (np.int32(2), np.uint8(2))):
        assert torch.equal(losses.dense_fsp_loss(features, features[::-1], size=size), plain)
    cosine = losses.cosine_transfer_loss(*features, eps=np.float32(0.5))
    assert torch.equal(cosine, losses.cosine_transfer_loss(*features, eps=0.5))
    transfer = StructuredKnowledgeTransfer(np.array([2, 3]), np.array([4, 5]))
    assert transfer.teacher_channels == (4, 5)
