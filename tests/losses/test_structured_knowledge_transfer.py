"""The whole objective: its terms, its switches, and every difference between its two profiles."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext import losses, reference
from skt_ext.losses import StructuredKnowledgeTransfer
from tests.losses import loss_samples
from tests.support.random_features import on_every_device, random_feature

STUDENT_CHANNELS, TEACHER_CHANNELS = (2, 3, 4, 2), (3, 5, 4, 2)


def inputs(
    batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor, Tensor]:
    """student_features, teacher_features, student_map, teacher_map, target of an image of 13x9 pixels"""
    options = {"dtype": dtype, "device": device}
    sizes = [(13, 9), (7, 5), (4, 3), (4, 3)]
    student = [
        random_feature((batch, channels, *size), seed=seed + i, **options)
        for i, (channels, size) in enumerate(zip(STUDENT_CHANNELS, sizes, strict=True))
    ]
    teacher = [
        random_feature((batch, channels, *size), seed=seed + 10 + i, **options)
        for i, (channels, size) in enumerate(zip(TEACHER_CHANNELS, sizes, strict=True))
    ]
    maps = [random_feature((batch, 1, 4, 3), seed=seed + 20 + i, **options) for i in range(3)]
    return student, teacher, *maps


def module(
    device: str = "cpu", dtype: torch.dtype = torch.float64, **options: object
) -> StructuredKnowledgeTransfer:
    torch.manual_seed(0)
    return StructuredKnowledgeTransfer(STUDENT_CHANNELS, TEACHER_CHANNELS, **options).to(device, dtype)


def embedded(transfer: StructuredKnowledgeTransfer, features: list[Tensor]) -> list[Tensor]:
    """Equation 2 written out: a matrix product over the channels."""
    return [
        torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], feature) + layer.bias[:, None, None]
        for layer, feature in zip(transfer.embeddings, features, strict=True)
    ]


@on_every_device
@pytest.mark.parametrize("reduction", ["sum", "batchmean"])
def test_profile_paper_follows_the_equations(reduction, device):
    transfer = module(device, reduction=reduction)
    student, teacher, student_map, teacher_map, target = inputs(device=device)
    loss = transfer(student, teacher, student_map, teacher_map, target)

    ours = embedded(transfer, student)
    options = {"reduction": reduction}
    intra = sum(reference.cosine_transfer_loss(s, t, **options) for s, t in zip(ours, teacher, strict=True))
    inter = reference.dense_fsp_loss(ours, teacher, **options)
    maps = reference.density_map_loss(student_map, target, teacher_map, **options)
    torch.testing.assert_close(loss.intra, intra)
    torch.testing.assert_close(loss.inter, inter)
    torch.testing.assert_close(loss.hard + loss.soft, maps)
    torch.testing.assert_close(loss.total, 0.5 * intra + 0.5 * inter + maps)


@on_every_device
def test_profile_released_follows_the_authors_code(device):
    """Written as the authors do: ReLU after the embedding, the map as one more feature of the FSP group only,
    instance norm, each pair once, sums, weights 0.5, 0.5, 1, ceil-mode max pooling to the last's size."""
    transfer = module(device, profile="released")
    student, teacher, student_map, teacher_map, target = inputs(device=device)
    loss = transfer(student, teacher, student_map, teacher_map, target)

    ours = [F.relu(feature) for feature in embedded(transfer, student)]
    intra = sum(
        (1 - F.cosine_similarity(s, t, dim=1, eps=1e-8)).sum() for s, t in zip(ours, teacher, strict=True)
    )
    kernels = [4, 2, 1, 1, 1]

    def flattened(features: list[Tensor]) -> list[Tensor]:
        pooled = [F.max_pool2d(f, k, ceil_mode=True) for f, k in zip(features, kernels, strict=True)]
        return [F.instance_norm(f, eps=1e-5).flatten(2) for f in pooled]

    s, t = flattened([*ours, student_map]), flattened([*teacher, teacher_map])
    inter = sum(
        ((t[i] @ t[j].mT - s[i] @ s[j].mT) / 12).square().sum() for i in range(5) for j in range(i + 1, 5)
    )
    torch.testing.assert_close(loss.intra, intra)
    torch.testing.assert_close(loss.inter, inter)
    torch.testing.assert_close(loss.hard, (student_map - target).square().sum())
    torch.testing.assert_close(loss.soft, (student_map - teacher_map).square().sum())
    torch.testing.assert_close(loss.total, 0.5 * intra + 0.5 * inter + loss.hard + loss.soft)


def test_only_released_has_a_relu_after_the_embedding():
    student = inputs()[0]
    assert any((feature < 0).any() for feature in module().embed(student))
    released = module(profile="released")
    for ours, linear in zip(released.embed(student), embedded(released, student), strict=True):
        torch.testing.assert_close(ours, linear.relu())


def test_only_released_compares_the_relations_of_the_map():
    student, teacher, student_map, teacher_map, target = inputs()
    other = inputs(seed=50)[2]
    for profile, equal in (("paper", True), ("released", False)):
        transfer = module(profile=profile)
        losses_of_maps = [transfer(student, teacher, m, teacher_map, target) for m in (student_map, other)]
        assert torch.equal(losses_of_maps[0].intra, losses_of_maps[1].intra)
        assert torch.equal(losses_of_maps[0].inter, losses_of_maps[1].inter) == equal


def test_only_released_normalises_before_the_fsp_matrix():
    """An affine change of the teacher's channels is invisible after instance norm (but for its eps)."""
    student, teacher, student_map, teacher_map, target = inputs()
    changed = [3 * feature + 2 for feature in teacher]
    for profile, equal in (("paper", False), ("released", True)):
        transfer = module(profile=profile)
        inters = [transfer(student, t, student_map, teacher_map, target).inter for t in (teacher, changed)]
        assert torch.allclose(*inters, rtol=1e-3) == equal


def test_released_resizes_as_the_authors():
    """Their taps lie behind the pools: strides of 2, 4 and 8 need windows of 4, 2 and 1, in ceil mode."""
    channels = (4, 4, 4)
    transfer = StructuredKnowledgeTransfer(channels, channels, profile="released", weights=(0, 1, 0)).double()
    sizes = [(19, 11), (10, 6), (5, 3)]  # ceil of 37x21 over 2, 4, 8
    student = [random_feature((1, 4, *size), seed=i) for i, size in enumerate(sizes)]
    teacher = [random_feature((1, 4, *size), seed=9 + i) for i, size in enumerate(sizes)]
    maps = [random_feature((1, 1, 5, 3), seed=20 + i) for i in range(2)]
    loss = transfer(student, teacher, *maps, None)
    ours = transfer.embed(student)
    pooled = [F.max_pool2d(f, k, ceil_mode=True) for f, k in zip(ours, (4, 2, 1), strict=True)]
    pooled_teacher = [F.max_pool2d(f, k, ceil_mode=True) for f, k in zip(teacher, (4, 2, 1), strict=True)]
    expected = reference.dense_fsp_loss([*pooled, maps[0]], [*pooled_teacher, maps[1]], normalize="instance")
    torch.testing.assert_close(loss.inter, expected)


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_parameters_are_the_embeddings_alone(profile):
    """The numbers of a 1/4 CSRNet: 105,728 with the released taps, 170,688 with the paper's."""
    student, teacher = {
        "paper": ((16, 32, 64, 128, 128, 64), (64, 128, 256, 512, 512, 256)),
        "released": ((16, 16, 32, 64, 128, 64), (64, 64, 128, 256, 512, 256)),
    }[profile]
    transfer = StructuredKnowledgeTransfer(student, teacher, profile=profile)
    expected = {"paper": 170_688, "released": 105_728}[profile]
    assert sum(parameter.numel() for parameter in transfer.parameters()) == expected


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_initial_embeddings(profile):
    torch.manual_seed(0)
    transfer = StructuredKnowledgeTransfer((64,), (256,), profile=profile)
    (embedding,) = transfer.embeddings
    assert embedding.bias.eq(0).all()
    # paper: gain 1 over 64 inputs; released: gain sqrt(2) over 256 outputs
    expected = {"paper": (1 / 64) ** 0.5, "released": (2 / 256) ** 0.5}[profile]
    assert embedding.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(embedding.weight.mean().item()) < 0.01


def test_default_weights_are_the_authors():
    transfer = StructuredKnowledgeTransfer((1,), (1,))
    assert transfer.weights == (0.5, 0.5, 1.0)
    assert (transfer.hard_weight, transfer.soft_weight) == (1.0, 1.0)
    assert transfer.reduction == "sum"


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        ({"weights": (0, 0.5, 1)}, {"intra"}),
        ({"weights": (0.5, 0, 1)}, {"inter"}),
        ({"weights": (0.5, 0.5, 0)}, {"hard", "soft"}),
        ({"hard_weight": 0}, {"hard"}),
        ({"soft_weight": 0}, {"soft"}),
        ({"weights": (0, 0, 0)}, {"total", "intra", "inter", "hard", "soft"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "-".join(sorted(value)),
)
@pytest.mark.parametrize("profile", losses.PROFILES)
def test_a_weight_of_zero_switches_its_term_off(profile, options, zeros):
    loss = module(profile=profile, **options)(*inputs())
    assert {name for name, term in loss._asdict().items() if term.item() == 0} == zeros
    full = module(profile=profile)(*inputs())
    for name in {"intra", "inter", "hard", "soft"} - zeros:
        assert torch.equal(getattr(loss, name), getattr(full, name))


def test_a_switched_off_term_is_not_computed():
    """Nothing it would need has to be there."""
    student, teacher, student_map, teacher_map, target = inputs()
    loss = module(weights=(0, 0, 1), soft_weight=0)([], [], student_map, None, target)
    torch.testing.assert_close(loss.total, (student_map - target).square().sum())
    loss = module(weights=(1, 1, 0))(student, teacher, student_map, None, None)
    torch.testing.assert_close(loss.total, loss.intra + loss.inter)
    loss = module(hard_weight=0)(student, teacher, student_map, teacher_map, None)
    assert loss.hard.item() == 0


def test_weights_of_the_maps():
    student, teacher, student_map, teacher_map, target = inputs()
    transfer = module(weights=(0, 0, 2), hard_weight=3.0, soft_weight=0.5)
    loss = transfer(student, teacher, student_map, teacher_map, target)
    torch.testing.assert_close(loss.total, 2 * (3 * loss.hard + 0.5 * loss.soft))
    torch.testing.assert_close(loss.hard, (student_map - target).square().sum())


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_gradients_reach_embeddings_features_and_map(profile):
    transfer = module(profile=profile)
    student, teacher, student_map, teacher_map, target = inputs(batch=1)
    student = loss_samples.requiring_grad(student)
    student_map.requires_grad_()
    names = [name for name, _ in transfer.named_parameters()]

    def total(map_: Tensor, *rest: Tensor) -> Tensor:
        features, parameters = rest[: len(student)], dict(zip(names, rest[len(student) :], strict=True))
        arguments = (list(features), teacher, map_, teacher_map, target)
        return torch.func.functional_call(transfer, parameters, arguments).total

    assert torch.autograd.gradcheck(total, (student_map, *student, *transfer.parameters()), fast_mode=True)


@on_every_device
@pytest.mark.parametrize("profile", losses.PROFILES)
def test_a_batch_is_the_sum_of_its_images(profile, device):
    transfer = module(device, profile=profile)
    student, teacher, *maps = inputs(batch=3, device=device)
    batch = transfer(student, teacher, *maps)
    singles = []
    for i in range(3):
        image = slice(i, i + 1)
        singles.append(
            transfer([f[image] for f in student], [f[image] for f in teacher], *(m[image] for m in maps))
        )
    for name in batch._fields:
        torch.testing.assert_close(getattr(batch, name), sum(getattr(single, name) for single in singles))


@on_every_device
@pytest.mark.parametrize("profile", losses.PROFILES)
def test_autocast_runs_the_embeddings_but_not_the_losses_in_bfloat16(profile, device):
    transfer = module(device, torch.float32, profile=profile)
    arguments = inputs(dtype=torch.float32, device=device)
    plain = transfer(*arguments)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert transfer.embed(arguments[0])[0].dtype == torch.bfloat16
        loss = transfer(*arguments)
    assert all(term.dtype == torch.float32 for term in loss)
    torch.testing.assert_close(loss.total, plain.total, rtol=2e-2, atol=0)
    assert torch.equal(loss.hard, plain.hard)
    loss.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in transfer.parameters())


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_an_empty_batch_costs_nothing(profile):
    assert module(profile=profile, reduction="batchmean")(*inputs(batch=0)).total.item() == 0


@pytest.mark.parametrize("profile", losses.PROFILES)
def test_compiles_without_a_graph_break(profile):
    torch._dynamo.reset()
    transfer = module(dtype=torch.float32, profile=profile)
    arguments = inputs(dtype=torch.float32)
    compiled = torch.compile(transfer, fullgraph=True, backend="aot_eager")(*arguments)
    assert isinstance(compiled, losses.TransferLoss)
    eager = transfer(*arguments)
    torch.testing.assert_close(tuple(compiled), tuple(eager))
    parameters = list(transfer.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(compiled.total, parameters), torch.autograd.grad(eager.total, parameters)
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiles_with_inductor():
    torch._dynamo.reset()
    transfer = module(dtype=torch.float32, profile="released")
    arguments = inputs(dtype=torch.float32)
    compiled, eager = torch.compile(transfer, fullgraph=True)(*arguments), transfer(*arguments)
    torch.testing.assert_close(tuple(compiled), tuple(eager), rtol=1e-4, atol=1e-4)
    parameters = list(transfer.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(compiled.total, parameters),
        torch.autograd.grad(eager.total, parameters),
        rtol=1e-4,
        atol=1e-4,
    )


def test_the_state_survives_saving(tmp_path):
    transfer, other = module(), StructuredKnowledgeTransfer(STUDENT_CHANNELS, TEACHER_CHANNELS).double()
    torch.save(transfer.state_dict(), tmp_path / "transfer.pt")
    other.load_state_dict(torch.load(tmp_path / "transfer.pt", weights_only=True))
    assert torch.equal(transfer(*inputs()).total, other(*inputs()).total)
