"""Runs on rendered crowds: they learn, repeat, go on after a stop, and refuse what is wrong."""

import errno
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from skt_crowd.data import TrainingBatch, hold_out
from skt_crowd.errors import SktError, UsageError
from skt_crowd.evaluation import evaluate
from skt_crowd.models import build_model
from skt_crowd.recipes import Recipe
from skt_crowd.recipes.run import run_recipe
from skt_crowd.training import loop
from skt_crowd.training.metrics_log import read_metrics
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.weights import load_model, save_model
from tests.recipes.runs import distillation, recipe

# Checkpoints at 4 and 8, records every 3 steps: a checkpoint falls between two records.
EVERYTHING: dict[str, dict[str, Any]] = {
    "training": {
        "steps": 9,
        "checkpoint_every": 4,
        "log_every": 3,
        "evaluate_every": 2,
        "average_weights": 0.9,
    },
    "optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "gradient_clip": 10.0},
}
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_model(path, build_model("csrnet", "1/8"))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``recipe()`` that all tests read; one that writes takes a ``copy_of`` it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    run_recipe(recipe(), path, console=QUIET)
    return path


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """A run of ``distillation(teacher, **EVERYTHING)`` that all tests read."""
    path = tmp_path_factory.mktemp("distilled") / "run"
    run_recipe(distillation(teacher, **EVERYTHING), path, console=QUIET)
    return path


def copy_of(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def weights(path: Path) -> dict[str, Tensor]:
    return load_model(path).state_dict()


def same_run(first: Path, second: Path) -> bool:
    """Whether two runs ended in the same weights, metrics and predictions, bit for bit."""
    for name in ("checkpoints/final.safetensors", "checkpoints/best.safetensors"):
        a, b = weights(first / name), weights(second / name)
        if not all(torch.equal(a[key], b[key]) for key in a):
            return False
    files = ("metrics.jsonl", "predictions.csv")
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_a_run_leaves_what_it_promises(finished: Path) -> None:
    folder = RunFolder.open(finished)
    for path in (folder.recipe, folder.environment, folder.metrics, folder.last, folder.best, folder.final):
        assert path.is_file(), path
    results = json.loads(folder.results.read_text())
    assert results["images"] == 2
    assert results["steps"] == 6
    assert results["mae"] >= 0
    assert [record["step"] for record in read_metrics(folder.metrics, "train")] == [2, 4, 6]
    assert [record["step"] for record in read_metrics(folder.metrics, "evaluation")] == [3, 6]
    assert len(folder.predictions.read_text().splitlines()) == 3
    environment = json.loads(folder.environment.read_text())
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert environment["torch_threads"] == 1


def test_a_run_in_bfloat16_is_evaluated_in_float32(tmp_path: Path) -> None:
    plan = recipe(training={"precision": "bfloat16"})
    results = run_recipe(plan, tmp_path / "run", console=QUIET)
    assert (results["training_precision"], results["precision"]) == ("bfloat16", "float32")
    model = load_model(RunFolder.open(tmp_path / "run").model())
    dataset = plan.data.open("train")
    held_out = hold_out(dataset.names, plan.data.held_out_fraction, plan.data.held_out_seed)[1]
    assert evaluate(model, dataset, held_out).mae == results["mae"]
    assert evaluate(model, dataset, held_out, precision="bfloat16").mae != results["mae"]


def test_training_reduces_the_loss(tmp_path: Path) -> None:
    run_recipe(
        recipe(training={"steps": 30, "log_every": 5, "evaluate_every": 30}), tmp_path / "run", console=QUIET
    )
    losses = [record["loss"] for record in read_metrics(tmp_path / "run" / "metrics.jsonl", "train")]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("profile", ["paper", "released"])
def test_distillation_reduces_its_terms(tmp_path: Path, teacher: Path, profile: str) -> None:
    inter = 1e-6 if profile == "paper" else 1e-2
    plan = distillation(
        teacher,
        transfer={"profile": profile, "intra": 0.01, "inter": inter},
        training={"steps": 20, "log_every": 5, "evaluate_every": 20},
    )
    before = weights(teacher)
    run_recipe(plan, tmp_path / "run", console=QUIET)
    records = read_metrics(tmp_path / "run" / "metrics.jsonl", "train")
    assert {"loss", "intra", "inter", "hard", "soft"} <= set(records[0])
    assert records[-1]["intra"] < records[0]["intra"]
    assert records[-1]["loss"] < records[0]["loss"]
    after = weights(teacher)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_terms_without_weight_are_not_recorded(tmp_path: Path, teacher: Path) -> None:
    plan = distillation(teacher, transfer={"intra": 0.01, "inter": 0, "soft": 0}, training={"steps": 2})
    run_recipe(plan, tmp_path / "run", console=QUIET)
    record = read_metrics(tmp_path / "run" / "metrics.jsonl", "train")[0]
    assert "intra" in record
    assert not {"inter", "soft"} & set(record)


def test_two_runs_are_the_same_bit_for_bit(tmp_path: Path, teacher: Path, distilled: Path) -> None:
    run_recipe(distillation(teacher, **EVERYTHING), tmp_path / "again", console=QUIET)
    assert same_run(tmp_path / "again", distilled)


def test_workers_change_nothing(tmp_path: Path, finished: Path) -> None:
    run_recipe(recipe(training={"workers": 2}), tmp_path / "run", console=QUIET)
    assert same_run(tmp_path / "run", finished)


class Killed(BaseException):
    """Stands for a kill: nothing of the run may catch it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    original = loop.TrainingLoop._step

    def step_or_die(self: loop.TrainingLoop, batch: TrainingBatch) -> dict[str, Tensor]:
        if self.state.step == step:
            raise Killed
        return original(self, batch)

    monkeypatch.setattr(loop.TrainingLoop, "_step", step_or_die)


@pytest.mark.parametrize("stopped_at", [1, 5, 7])
def test_a_stopped_run_goes_on_to_the_same_end(
    tmp_path: Path, teacher: Path, distilled: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    plan = distillation(teacher, **EVERYTHING)
    kill_at(monkeypatch, stopped_at)
    with pytest.raises(Killed):
        run_recipe(plan, tmp_path, console=QUIET)
    monkeypatch.undo()
    run_recipe(plan, tmp_path, resume=True, console=QUIET)
    assert same_run(tmp_path, distilled)
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert [again["from_step"] for again in environment["continued"]] == [stopped_at // 4 * 4]


def test_a_finished_run_resumes_to_itself(tmp_path: Path, finished: Path) -> None:
    run = copy_of(finished, tmp_path)
    results = json.loads((finished / "results.json").read_text())
    assert run_recipe(recipe(), run, resume=True, console=QUIET) == results
    assert same_run(run, finished)


def test_resume_with_another_recipe_names_the_keys(finished: Path) -> None:
    with pytest.raises(UsageError, match=r"these keys differ \(run and now\): training.seed \(0 and 1\);"):
        run_recipe(recipe(training={"seed": 1}), finished, resume=True, console=QUIET)


def test_resume_from_a_damaged_state_is_refused(tmp_path: Path, finished: Path) -> None:
    last = copy_of(finished, tmp_path) / "checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(SktError, match=f"{last}: not a complete training state"):
        run_recipe(recipe(), tmp_path / "run", resume=True, console=QUIET)


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a run folder: it has no recipe\.yaml"):
        run_recipe(recipe(), tmp_path, resume=True, console=QUIET)


def test_an_output_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        UsageError, match="the output exists and is not an empty folder; give another, or --resume"
    ):
        run_recipe(recipe(), tmp_path, console=QUIET)
    with pytest.raises(UsageError, match=r"thesis\.tex: the output exists and is not an empty folder"):
        run_recipe(recipe(), tmp_path / "thesis.tex", console=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"teacher": {"checkpoint": "/no/such.safetensors"}},
            "/no/such.safetensors: cannot be read: No such file",
        ),
        ({"model": {"name": "vgg"}}, "model: expected one of"),
        ({"data": {"options": {"colour": 1}}}, "no option colour"),
        ({"data": {"kind": "folder", "root": None, "options": {}}}, "needs its folder"),
    ],
)
def test_a_mistake_leaves_no_folder(
    tmp_path: Path, teacher: Path, sections: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SktError, match=expected):
        run_recipe(distillation(teacher, **sections), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = loop.TrainingLoop._step

    def diverge(self: loop.TrainingLoop, batch: TrainingBatch) -> dict[str, Tensor]:
        losses = original(self, batch)
        return losses if self.state.step < 4 else {name: value * math.nan for name, value in losses.items()}

    monkeypatch.setattr(loop.TrainingLoop, "_step", diverge)
    with pytest.raises(
        SktError, match=r"the loss is not finite within 2 steps up to 6 .*last.pt is the last good checkpoint"
    ):
        run_recipe(recipe(), tmp_path / "run", console=QUIET)
    last = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)
    assert last["progress"]["step"] == 4


def test_without_held_out_images_the_last_step_is_the_result(tmp_path: Path) -> None:
    plan = recipe(data={"held_out_fraction": 0}, training={"steps": 2})
    results = run_recipe(plan, tmp_path / "run", console=QUIET)
    assert results["checkpoint"] == "checkpoints/final.safetensors"
    assert "mae" not in results
    assert not (tmp_path / "run/checkpoints/best.safetensors").exists()


def test_choosing_on_another_split_is_told(tmp_path: Path) -> None:
    plan = recipe(data={"held_out_fraction": 0, "selection_split": "test"}, training={"steps": 1})
    assert run_recipe(plan, tmp_path / "run", console=QUIET)["selected_on"] == "all 6 images of split test"


def test_a_run_starts_from_a_checkpoint(tmp_path: Path, finished: Path) -> None:
    start = finished / "checkpoints/final.safetensors"

    def from_checkpoint(rate: str) -> Recipe:
        model = {
            "channel_preservation_rate": rate,
            "initialization": "checkpoint",
            "initial_weights": str(start),
        }
        return recipe(model=model, optimizer={"learning_rate": 1e-12}, training={"steps": 1})

    run_recipe(from_checkpoint("1/16"), tmp_path / "second", console=QUIET)
    second = weights(tmp_path / "second/checkpoints/final.safetensors")
    for name, value in weights(start).items():
        torch.testing.assert_close(second[name], value)
    with pytest.raises(UsageError, match="holds 1/16-csrnet, the recipe's model is 1/8-csrnet"):
        run_recipe(from_checkpoint("1/8"), tmp_path / "third", console=QUIET)


def test_the_average_is_what_is_saved(distilled: Path) -> None:
    state = torch.load(distilled / "checkpoints/last.pt", weights_only=True)
    saved = weights(distilled / "checkpoints/final.safetensors")
    name = "output_layer.weight"
    assert torch.equal(saved[name], state["average"][f"module.{name}"])
    assert not torch.equal(saved[name], state["student"][name])


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = tmp_path / "run/checkpoints/last.pt"
    original = os.fsync

    def full_from_the_second(descriptor: int) -> None:
        if last.is_file():
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full_from_the_second)
    plan = recipe(training={"evaluate_every": 100})
    with pytest.raises(
        SktError, match=r"run/checkpoints/\w+\.\w+: cannot be written: No space left on device"
    ):
        run_recipe(plan, tmp_path / "run", console=QUIET)
    assert torch.load(last, weights_only=True)["progress"]["step"] == 4
    assert [path.name for path in last.parent.iterdir()] == ["last.pt"]
    monkeypatch.undo()
    assert run_recipe(plan, tmp_path / "run", resume=True, console=QUIET)["steps"] == 6
