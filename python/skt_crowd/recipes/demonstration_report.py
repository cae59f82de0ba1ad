"""The report of the demonstration: its table and figures of what the students see."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skt_crowd.files import write_text
from skt_crowd.inference import predict
from skt_crowd.models import CrowdModel
from skt_crowd.plots import Comparison, save_comparison, save_feature_means
from skt_crowd.recipes.demonstration import EVERYTHING, NO_TRANSFER, Demo, Outcome
from skt_crowd.recipes.report import table
from skt_crowd.recipes.report_figures import PAPER_NAMES, draw_loss_curves, features_at_levels, hard_map
from skt_crowd.weights import load_model

HEAD = ("model", "parameters", "MAE", "RMSE")
EXAMPLES = 3


def write_demo_report(demo: Demo, outcomes: Sequence[Outcome]) -> Path:
    """Draw the figures, write ``report.md`` beside them, and return its path."""
    plots = demo.output / "plots"
    students = {"distilled student": EVERYTHING}
    if not demo.quick:
        students = {"student alone": NO_TRANSFER} | students
    models = {"teacher": load_model(demo.teacher.final)}
    for name, variant in students.items():
        models[name] = load_model(demo.student(variant, demo.seeds[0]).final)
    _draw(demo, plots, models)
    text = f"""# Structured knowledge transfer on synthetic crowds

{table(HEAD, [outcome.row() for outcome in outcomes])}

{_explanation(demo)}

## Density maps

![Density maps](plots/maps.png)

The title of each map gives its sum: the predicted number of people.

## Features

![Features](plots/features.png)

Mean over the channels at three levels; r is the correlation with the teacher's.

## Losses of the distilled student

![Losses](plots/losses.png)

## Again

`{demo.command}` makes all of this; the recipes are `demo_teacher` and `demo_student`, and each run beside
this file has its own `recipe.yaml` with every number. Times and versions: [results.json](results.json).
"""
    path = demo.output / "report.md"
    write_text(path, text)
    return path


def _explanation(demo: Demo) -> str:
    """What the table shows, and what it does not."""
    tested = (
        f"MAE and RMSE in people, on {len(demo.test_images())} images that no run has trained or selected on"
    )
    steps = demo.student_recipe.training.steps
    teacher_images = demo.teacher_recipe.data.options["length"]
    student_images = demo.student_recipe.data.options["length"]
    if demo.quick:
        return f"""{tested}. A first look: one teacher with {teacher_images} labelled images, and one
student a quarter as wide, which learned for {steps} steps from {student_images} of them and from the teacher. What
the transfer is worth takes several seeds and more steps to tell: `skt demo` without `--quick` compares the
student with itself without transfer."""
    return f"""{tested}; mean ± standard deviation over seeds {", ".join(map(str, demo.seeds))}. All students of
a seed start from the same weights and see the same crops in the same order for the same {steps} steps; only the
terms of the loss differ. The teacher had {teacher_images} labelled images, the students have {student_images} of
them: what it learned from the others can reach them only through it. "No transfer" learns from the points alone.
"All" is Intra-PT, Inter-RT and the teacher's density maps beside those made from points."""


def _draw(demo: Demo, plots: Path, models: dict[str, CrowdModel]) -> None:
    dataset = demo.test_images()
    samples = sorted((dataset[i] for i in range(len(dataset))), key=lambda sample: len(sample.points))
    chosen = [samples[place] for place in np.linspace(0, len(samples) - 1, EXAMPLES + 2).astype(int)[1:-1]]
    data, stride = demo.student_recipe.data, models["teacher"].output_stride
    rows = []
    for sample in chosen:
        maps = {"from points": hard_map(sample, data, stride)}
        maps |= {name: predict(model, sample.image) for name, model in models.items()}
        rows.append(Comparison(sample.name, sample.image, len(sample.points), maps))
    save_comparison(plots / "maps.png", rows)
    middle = chosen[len(chosen) // 2].image
    features = {name: features_at_levels(model, middle) for name, model in models.items()}
    save_feature_means(plots / "features.png", middle, list(PAPER_NAMES.values()), features)
    draw_loss_curves(demo.student(EVERYTHING, demo.seeds[0]).metrics, plots / "losses.png")
