"""The report of a run as Markdown: its results, its figures, and how it was made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skt_crowd.errors import UsageError
from skt_crowd.files import write_text
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import load_recipe
from skt_crowd.recipes.report_figures import ReportFigure, draw_figures
from skt_crowd.training.metrics_log import read_metrics
from skt_crowd.training.progress import duration
from skt_crowd.training.run_folder import RunFolder

MOST_EVALUATIONS = 12


def write_report(folder: RunFolder) -> Path:
    """Draw the figures of a finished run, write its ``report.md``, and return that path.

    Everything is read from the run folder, and from the data and the teacher that its recipe names; figures
    whose sources are gone are named in the report instead of drawn.

    Raises:
        UsageError: the run has not finished.
        SktError: the folder cannot be written.
    """
    if not folder.results.is_file():
        raise UsageError(f"{folder.path}: this run has not finished; continue it with --resume")
    recipe = load_recipe(folder.recipe)
    results = json.loads(folder.results.read_text(encoding="utf-8"))
    environment = json.loads(folder.environment.read_text(encoding="utf-8"))
    figures, missing = draw_figures(folder, recipe)
    parts = [
        f"# {'Distilled' if recipe.kind == 'distill' else 'Trained'} {results['model']}",
        _results(results, recipe),
        *(_figure(figure) for figure in figures),
        *(f"*Not drawn: {reason}.*" for reason in missing),
        _evaluations(read_metrics(folder.metrics, "evaluation")),
        _origin(results, environment),
        _settings(recipe),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_text(folder.report, text)
    return folder.report


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(["a", "b"], [[1, 2]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [head, *rows]
    body = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([body[0], "|" + "---|" * len(head), *body[1:]])


def _results(results: dict[str, Any], recipe: Recipe) -> str:
    rows: list[tuple[str, str]] = []
    if "mae" in results:
        rows += [
            ("MAE, people", f"**{results['mae']:.2f}**"),
            ("RMSE, people", f"**{results['rmse']:.2f}**"),
            ("evaluated on", results["selected_on"]),
            ("chosen at", f"step {results['best_step']:,} of {results['steps']:,}"),
        ]
    rows += [
        ("parameters", f"{results['parameters']:,}"),
        ("weights", f"`{results['checkpoint']}`"),
        ("time in training", duration(results["seconds"])),
    ]
    text = f"## Result\n\n{table(['', ''], rows)}"
    if recipe.data.selection_split is not None:
        text += (
            f"\n\n**The checkpoint was chosen on split {recipe.data.selection_split}, "
            "the one it is evaluated on: these errors flatter the model.**"
        )
    elif "mae" in results:
        text += (
            "\n\nThe same images chose the checkpoint, so these errors are slightly flattered; "
            "`skt evaluate` evaluates it on images that had no part in the run."
        )
    return text


def _figure(figure: ReportFigure) -> str:
    return f"## {figure.title}\n\n![{figure.title}](plots/{figure.file})\n\n{figure.caption}"


def _evaluations(records: Sequence[dict[str, Any]]) -> str:
    """A table of at most ``MOST_EVALUATIONS`` evaluations, evenly spread, the last one always there."""
    if not records:
        return ""
    stride = -(-len(records) // MOST_EVALUATIONS)
    chosen = [record for i, record in enumerate(records) if (len(records) - 1 - i) % stride == 0]
    rows = [(f"{r['step']:,}", r["images"], f"{r['mae']:.2f}", f"{r['rmse']:.2f}") for r in chosen]
    return f"## While it learned\n\n{table(['step', 'images', 'MAE', 'RMSE'], rows)}"


def _origin(results: dict[str, Any], environment: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
    devices = ", ".join(environment["cuda_devices"]) or "no GPU"
    rows = [
        ("started", environment["started"]),
        ("machine", f"{environment['processor']}, {environment['cores']} cores, {devices}"),
        ("threads of torch", environment["torch_threads"]),
        ("software", f"Python {environment['python']}, {packages}"),
    ]
    rows += [
        (f"continued at step {again['from_step']}", f"{again['started']} on {again['processor']}")
        for again in environment.get("continued", [])
    ]
    return f"## How it was made\n\n```\n{environment['command']}\n```\n\n{table(['', ''], rows)}"


def _settings(recipe: Recipe) -> str:
    """The choices that matter most; ``recipe.yaml`` has all."""
    data, optimizer, training = recipe.data, recipe.optimizer, recipe.training
    rows: list[tuple[str, object]] = [
        ("data", f"{data.kind} {data.split}, crops of {data.crop} pixels"),
        ("loss", recipe.loss.kind),
        ("steps x batch", f"{training.steps:,} x {training.batch_size}"),
        ("optimiser", f"{optimizer.name}, {optimizer.learning_rate:g}, {optimizer.schedule}"),
        ("seed", training.seed),
    ]
    if recipe.transfer is not None and recipe.teacher is not None:
        weights = recipe.transfer.model_dump(exclude={"profile"})
        rows += [
            ("teacher", f"`{recipe.teacher.checkpoint}`"),
            (
                "transfer",
                f"{recipe.transfer.profile}: " + ", ".join(f"{name} {w:g}" for name, w in weights.items()),
            ),
        ]
    return f"## Settings\n\n{table(['', ''], rows)}\n\nEvery number is in [recipe.yaml](recipe.yaml)."
