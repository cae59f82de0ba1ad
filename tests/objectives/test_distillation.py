"""The distiller: what it computes, and that nothing of it reaches the teacher."""

import pytest
import torch

from skt_crowd.data import TrainingBatch
from skt_crowd.errors import UsageError
from skt_crowd.models import CrowdModel, CSRNet, build_model
from skt_crowd.objectives.distillation import Distiller, TransferSettings
from skt_crowd.objectives.supervised import LossSettings, Supervised
from skt_crowd.training.optimizer import OptimizerSettings


@pytest.fixture
def batch() -> TrainingBatch:
    torch.manual_seed(0)
    points = (torch.tensor([[3.0, 4.0, 1.0], [30.0, 20.0, 0.5]]), torch.zeros(0, 3))
    return TrainingBatch(
        torch.randn(2, 3, 32, 40), torch.rand(2, 1, 4, 5), torch.tensor([2.0, 0.0]), points, (32.0, 50.0)
    )


def models() -> tuple[CrowdModel, CrowdModel]:
    torch.manual_seed(1)
    return build_model("csrnet", "1/16"), build_model("csrnet", "1/8")


@pytest.mark.parametrize("profile", ["paper", "released"])
def test_the_teacher_stays_as_it_is(profile: str, batch: TrainingBatch) -> None:
    student, teacher = models()
    teacher.train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distiller = Distiller(student, teacher, TransferSettings(profile=profile), LossSettings())
    optimizer = OptimizerSettings().build(student, distiller.embeddings)
    owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert not owned & {id(parameter) for parameter in teacher.parameters()}
    distiller.losses(batch)["loss"].backward()
    optimizer.step()
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert not teacher._forward_hooks
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_the_loss_is_the_weighted_sum_of_its_terms(batch: TrainingBatch) -> None:
    student, teacher = models()
    transfer = TransferSettings(profile="released", intra=0.3, inter=0.2, map=2.0, hard=0.5, soft=4.0)
    distiller = Distiller(student, teacher, transfer, LossSettings(cell_count_weight=0.7, cell_pixels=16))
    losses = distiller.losses(batch)
    # hard and soft are reported before or after their own weights; the maps tell which numbers they must be.
    with torch.no_grad():
        predicted, soft = student(batch.image), teacher(batch.image)
    hard_term = (predicted - batch.target).square().sum() / 2
    soft_term = (predicted - soft).square().sum() / 2
    expected = 0.3 * losses["intra"] + 0.2 * losses["inter"] + 2.0 * (0.5 * hard_term + 4.0 * soft_term)
    torch.testing.assert_close(losses["loss"], expected + 0.7 * losses["count"])


def test_only_map_terms_without_features(batch: TrainingBatch) -> None:
    student, teacher = models()
    distiller = Distiller(student, teacher, TransferSettings(intra=0, inter=0, soft=0), LossSettings())
    losses = distiller.losses(batch)
    alone = Supervised(student, LossSettings()).losses(batch)
    assert set(losses) == {"loss", "hard"}
    torch.testing.assert_close(losses["loss"], alone["loss"])


@pytest.mark.parametrize("kind", ["bayesian", "dms_ssim", "mse_lpc"])
def test_another_loss_takes_the_place_of_the_hard_map(kind: str, batch: TrainingBatch) -> None:
    student, teacher = models()
    transfer = TransferSettings(profile="released", intra=0, inter=0, map=2.0, hard=0.5, soft=4.0)
    settings = LossSettings(kind=kind)
    losses = Distiller(student, teacher, transfer, settings).losses(batch)
    predicted = student(batch.image)
    expected = settings.of(predicted, batch, 8)
    torch.testing.assert_close(losses["hard"], expected)
    soft = (predicted - teacher(batch.image)).square().sum() / 2
    torch.testing.assert_close(losses["loss"], 2.0 * (0.5 * expected + 4.0 * soft))
    torch.testing.assert_close(Supervised(student, settings).losses(batch)["loss"], expected)


def test_bfloat16_is_near_float32(batch: TrainingBatch) -> None:
    student, teacher = models()
    distiller = Distiller(student, teacher, TransferSettings(profile="released"), LossSettings())
    exact = distiller.losses(batch)
    distiller.precision = "bfloat16"
    rough = distiller.losses(batch)
    for name, value in exact.items():
        torch.testing.assert_close(rough[name], value, rtol=0.1, atol=0.1)
        assert rough[name].dtype == torch.float32


def test_models_that_do_not_fit_are_refused() -> None:
    class Coarse(CSRNet):
        output_stride = 16

    with pytest.raises(UsageError, match="one cell of its map is 16 pixels, one of the student's 8"):
        Distiller(build_model("csrnet", "1/16"), Coarse("1/16"), TransferSettings(), LossSettings())
