"""Run a recipe: from the recipe to a run folder with its results."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from skt_crowd.data.selection import Selection
from skt_crowd.device import choose_device, resolve_precision
from skt_crowd.efficiency.memory import DEFAULT_BUDGET
from skt_crowd.errors import UsageError
from skt_crowd.evaluation import Evaluation, evaluate, write_csv
from skt_crowd.files import write_json
from skt_crowd.machine import describe_environment
from skt_crowd.models import CrowdModel
from skt_crowd.objectives.distillation import Distiller
from skt_crowd.objectives.supervised import Supervised
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import differing_keys, dump_recipe, load_recipe
from skt_crowd.training.loop import Objective, TrainingLoop
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.weights import load_model


def run_recipe(
    recipe: Recipe, output: str | Path, *, resume: bool = False, console: Console | None = None
) -> dict[str, Any]:
    """Train or distil as the recipe says; the content of the run's ``results.json``.

    Everything the recipe names is opened before the folder is made, so a mistake leaves nothing behind. With
    ``resume`` a run that was stopped, by whatever means, goes on from its last checkpoint and ends in the
    same weights, bit for bit.

    Raises:
        UsageError: the output folder is not empty (without ``resume``), or is of another recipe (with it).
        SktError: the data, a checkpoint or the disk cannot be used.
    """
    console = console or Console()
    recipe = recipe.with_absolute_paths()
    settings = recipe.training
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)

    torch.manual_seed(settings.seed)
    objective = _build_objective(recipe, resolve_precision(settings.precision, device))
    student = objective.student
    crops, selection = recipe.data.open_for_training(
        seed=settings.seed, stride=student.output_stride, visibility=recipe.loss.visibility
    )
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    for module in objective.modules():
        module.to(device).to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it
    folder = open_run(output, recipe) if resume else RunFolder.create(output, dump_recipe(recipe))

    def errors(model: CrowdModel, limit: int | None) -> Evaluation:
        assert selection is not None
        return evaluate(
            model,
            selection.dataset,
            selection.indices[:limit],
            device=device,
            # A large image must not stop a run: in one pass where tiles would change its count.
            memory_budget=DEFAULT_BUDGET if model.tiling.exact else sys.maxsize,
        )

    while_training = (lambda model: errors(model, settings.evaluation_images)) if selection else None
    loop = TrainingLoop(objective, crops, while_training, recipe.optimizer, settings, folder, device)
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

    evaluation = errors(load_model(folder.model()).to(device), None) if selection else None
    results = _results(objective, loop, selection, evaluation, folder)
    write_json(folder.results, results)
    return results


def open_run(path: str | Path, recipe: Recipe) -> RunFolder:
    """The folder of a run that exists and has the same recipe.

    Raises:
        UsageError: there is no run, or its recipe differs; names the keys.
    """
    folder = RunFolder.open(path)
    differing = differing_keys(load_recipe(folder.recipe), recipe)
    if differing:
        raise UsageError(
            f"{folder.recipe}: --resume needs the recipe of the run; these keys differ (run and now): "
            + ", ".join(differing)
            + "; another output folder starts anew"
        )
    return folder


def _build_objective(recipe: Recipe, precision: str) -> Objective:
    student = recipe.model.build()
    if recipe.teacher is None or recipe.transfer is None:
        return Supervised(student, recipe.loss, precision=precision)
    teacher = load_model(Path(recipe.teacher.checkpoint))
    return Distiller(student, teacher, recipe.transfer, recipe.loss, precision=precision)


def _record_environment(folder: RunFolder, resumed_at: int | None) -> None:
    """Record the machine and the software; a continuation is added, since it may run elsewhere."""
    now = describe_environment()
    if resumed_at is not None and folder.environment.is_file():
        first = json.loads(folder.environment.read_text(encoding="utf-8"))
        now = first | {"continued": [*first.get("continued", []), now | {"from_step": resumed_at}]}
    write_json(folder.environment, now)


def _results(
    objective: Objective,
    loop: TrainingLoop,
    selection: Selection | None,
    evaluation: Evaluation | None,
    folder: RunFolder,
) -> dict[str, Any]:
    """The numbers of a finished run; predictions are written beside them."""
    results: dict[str, Any] = {
        "kind": objective.kind,
        "model": objective.student.label,
        "parameters": sum(parameter.numel() for parameter in objective.student.parameters()),
        "steps": loop.state.step,
        "seconds": round(loop.state.seconds, 1),
        "training_precision": objective.precision,
        "checkpoint": str(folder.model().relative_to(folder.path)),
    }
    if selection is not None and evaluation is not None:
        write_csv(folder.predictions, evaluation)
        results |= {
            "selected_on": selection.description,
            "best_step": loop.state.best["step"] if loop.state.best else None,
            "images": len(evaluation.images),
            "precision": evaluation.precision,
            "mae": evaluation.mae,
            "rmse": evaluation.rmse,
        }
    return results
