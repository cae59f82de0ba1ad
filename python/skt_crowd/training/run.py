"""Carry out a recipe: from the recipe to a run folder with its results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from skt_crowd.distillation.distiller import Distiller
from skt_crowd.distillation.supervised import Supervised
from skt_crowd.errors import UsageError
from skt_crowd.evaluation import Evaluation, evaluate, write_csv
from skt_crowd.evaluation.memory import DEFAULT_BUDGET
from skt_crowd.files import write_json
from skt_crowd.models import CrowdCounter, build_model, inherit_filters, initialize_from_vgg, load_model
from skt_crowd.models.precision import resolve_precision
from skt_crowd.recipes.recipe import ModelSettings, Recipe
from skt_crowd.recipes.recipe_file import absolute_paths
from skt_crowd.training.device import choose_device
from skt_crowd.training.environment import describe_environment
from skt_crowd.training.loop import Objective, TrainingLoop
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.training.selection import Selection, open_training_data


def run_recipe(
    recipe: Recipe, output: str | Path, *, resume: bool = False, console: Console | None = None
) -> dict[str, Any]:
    """Train or distil as the recipe says; the content of the run's ``results.json``.

    Everything the recipe names is opened before the folder is made, so a mistake leaves nothing behind. With
    ``resume`` a run that was stopped, by whatever means, goes on from its last checkpoint and ends in the
    same weights, bit for bit.

    Raises:
        UsageError: the output folder is not empty (without ``resume``), or is of another recipe (with it).
        SktError: data, a checkpoint or the disk is at fault.
    """
    console = console or Console()
    recipe = absolute_paths(recipe)
    settings = recipe.training
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    precision = resolve_precision(settings.precision, device)

    torch.manual_seed(settings.seed)
    objective = _build_objective(recipe, precision)
    crops, selection = open_training_data(recipe, objective.student.output_stride)
    _to_device(objective, device, channels_last=settings.channels_last)

    folder = RunFolder.reopen(output, recipe) if resume else RunFolder.create(output, recipe)

    def judge(model: CrowdCounter, limit: int | None) -> Evaluation:
        assert selection is not None
        return evaluate(
            model,
            selection.dataset,
            selection.indices[:limit],
            device=device,
            precision=precision,
            # A large image must not stop a run: in one pass where tiles would change its count.
            memory_budget=DEFAULT_BUDGET if model.tiling.exact else sys.maxsize,
        )

    while_training = (lambda model: judge(model, settings.evaluation_images)) if selection else None
    loop = TrainingLoop(objective, crops, while_training, recipe, folder, device)
    if resume and folder.last.is_file():
        loop.state.load(folder.last, device)
    _record_environment(folder, resumed_at=loop.state.step if resume else None)
    try:
        loop.run(console)
    except KeyboardInterrupt:
        console.print(
            f"stopped at step {loop.state.step}; the same command with --resume goes on", highlight=False
        )
        raise

    model = load_model(folder.model()).to(device)
    results = _results(recipe, loop, selection, judge(model, None) if selection else None, folder)
    write_json(folder.results, results)
    return results


def build_student(settings: ModelSettings) -> CrowdCounter:
    """The recipe's model with its first weights.

    Raises:
        SktError: the weights are missing, damaged or of another architecture.
    """
    if settings.initialization == "checkpoint":
        assert settings.initial_weights is not None
        model = load_model(Path(settings.initial_weights))
        wanted = build_model(settings.name, settings.channel_preservation_rate).label
        if model.label != wanted:
            raise UsageError(
                f"{settings.initial_weights}: holds {model.label}, the recipe's model is {wanted}"
            )
        return model
    model = build_model(settings.name, settings.channel_preservation_rate)
    if settings.initialization == "inherit":
        assert settings.initial_weights is not None
        inherit_filters(model, load_model(Path(settings.initial_weights)))
    if settings.initialization == "imagenet":
        assert settings.initial_weights is not None
        initialize_from_vgg(model, settings.initial_weights)
    return model


def _build_objective(recipe: Recipe, precision: str) -> Objective:
    student = build_student(recipe.model)
    if recipe.kind == "train":
        return Supervised(student, recipe.loss, precision=precision)
    assert recipe.teacher is not None
    assert recipe.transfer is not None
    teacher = load_model(Path(recipe.teacher.checkpoint))
    return Distiller(student, teacher, recipe.transfer, recipe.loss, precision=precision)


def _to_device(objective: Objective, device: torch.device, *, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for module in (objective.student, objective.embeddings, getattr(objective, "teacher", None)):
        if module is not None:
            module.to(device).to(memory_format=layout)


def _record_environment(folder: RunFolder, resumed_at: int | None) -> None:
    """Write what the run runs on; a continuation is added, since it may be another machine."""
    now = describe_environment()
    if resumed_at is not None and folder.environment.is_file():
        first = json.loads(folder.environment.read_text(encoding="utf-8"))
        now = first | {"continued": [*first.get("continued", []), now | {"from_step": resumed_at}]}
    write_json(folder.environment, now)


def _results(
    recipe: Recipe,
    loop: TrainingLoop,
    selection: Selection | None,
    evaluation: Evaluation | None,
    folder: RunFolder,
) -> dict[str, Any]:
    """The numbers of a finished run; predictions are written beside them."""
    student = loop.objective.student
    results: dict[str, Any] = {
        "kind": recipe.kind,
        "model": student.label,
        "parameters": sum(parameter.numel() for parameter in student.parameters()),
        "steps": loop.state.step,
        "seconds": round(loop.state.seconds, 1),
        "checkpoint": str(folder.model().relative_to(folder.path)),
    }
    if selection is not None and evaluation is not None:
        write_csv(folder.predictions, evaluation)
        results |= {
            "selected_on": selection.description,
            "best_step": loop.state.best["step"] if loop.state.best else None,
            "images": len(evaluation.images),
            "mae": evaluation.mae,
            "rmse": evaluation.rmse,
        }
    return results
