"""Optimiser groups and the learning rate of a step."""

import pytest
import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.models import build_model
from skt_crowd.training.optimizer import OptimizerSettings, set_learning_rate


def test_warm_up_then_cosine_to_zero() -> None:
    settings = OptimizerSettings(learning_rate=0.8, warmup_steps=4, schedule="cosine")
    rates = [settings.rate_at(step, 12) for step in range(12)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[8] == pytest.approx(0.4)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert settings.rate_at(12, 12) == pytest.approx(0.0)


def test_a_constant_rate_stays() -> None:
    settings = OptimizerSettings(learning_rate=0.5)
    assert {settings.rate_at(step, 10) for step in range(10)} == {0.5}


def test_the_longest_path_decides_and_zero_freezes() -> None:
    model = build_model("csrnet", "1/16")
    settings = OptimizerSettings(learning_rate=0.1, learning_rate_scales={"frontend": 0.5, "frontend.0": 0})
    optimizer = settings.build(model)
    set_learning_rate(optimizer, 0.1)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert not named["frontend.0.weight"].requires_grad
    assert id(named["frontend.0.weight"]) not in rate_of
    assert rate_of[id(named["frontend.2.weight"])] == pytest.approx(0.05)
    assert rate_of[id(named["backend.0.weight"])] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_every_optimizer_owns_student_and_embeddings(name: str) -> None:
    student, embeddings = nn.Linear(2, 2), nn.Linear(2, 3)
    optimizer = OptimizerSettings(name=name).build(student, embeddings)
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert owned == {id(p) for p in [*student.parameters(), *embeddings.parameters()]}
    before = student.weight.detach().clone()
    student(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, student.weight)


def test_a_path_without_parameters_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"no parameters under 'front'; it has backend, frontend, output_layer"
    ):
        OptimizerSettings(learning_rate_scales={"front": 0.5}).build(build_model("csrnet", "1/16"))


def test_nothing_left_to_train_is_refused() -> None:
    with pytest.raises(UsageError, match="every parameter of the model is frozen"):
        OptimizerSettings(learning_rate_scales={"weight": 0, "bias": 0}).build(nn.Linear(1, 1))
