"""Each of the six models with its own recipes: a step of a teacher, a step of a student, and a counted photograph."""

import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from skt_crowd.data import render_crowd
from skt_crowd.inference import count_image
from skt_crowd.models import available_models, build_model
from skt_crowd.recipes import load_recipe
from skt_crowd.recipes.recipe_file import recipe_names
from skt_crowd.recipes.report_figures import PAPER_NAMES, features_at_levels, shown_levels
from skt_crowd.recipes.run import run_recipe
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.weights import load_model

TINY = [
    "data.kind=synthetic",
    "data.options={length: 4, height: 48, width: 56, people_min: 5, people_max: 20}",
    "data.held_out_fraction=0.25",
    "data.crop=32",
    "training.steps=2",
    "training.batch_size=2",
    "training.workers=0",
    "training.threads=1",
    "training.precision=float32",
    "training.log_every=1",
    "model.initialization=kaiming",
    "model.initial_weights=null",
]


@pytest.mark.parametrize("name", available_models())
def test_a_teacher_and_its_student(name: str, tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    teacher = load_recipe(f"{name}_part_a_teacher", [*TINY, "model.channel_preservation_rate=1/4"])
    run_recipe(teacher, tmp_path / "teacher", console=quiet)
    weights = RunFolder.open(tmp_path / "teacher").model()
    own = f"{name}_part_a_distill"
    student = load_recipe(
        own if own in recipe_names() else "csrnet_part_a_distill",
        [
            *TINY,
            f"model.name={name}",
            "model.channel_preservation_rate=1/16",
            f"teacher.checkpoint={weights}",
        ],
    )
    results = run_recipe(student, tmp_path / "student", console=quiet)
    assert results["model"] == f"1/16-{name}"
    assert results["steps"] == 2
    records = [json.loads(line) for line in (tmp_path / "student/metrics.jsonl").read_text().splitlines()]
    losses = [record for record in records if record["kind"] == "train"]
    assert len(losses) == 2
    assert {"loss", "intra", "inter", "hard", "soft"} <= set(losses[0])
    assert all(losses[0][term] > 0 for term in ("loss", "intra", "inter", "hard"))

    Image.fromarray(render_crowd(1, (50, 61)).image).save(tmp_path / "square.png")
    model = load_model(RunFolder.open(tmp_path / "student").model())
    counted = count_image(model, tmp_path / "square.png")
    stride = model.output_stride
    assert counted.density.shape == (-(-50 // stride), -(-61 // stride))


@pytest.mark.parametrize("name", available_models())
def test_reports_draw_three_features_of_any_model(name: str) -> None:
    model = build_model(name, "1/16")
    features = features_at_levels(model, render_crowd(1, (50, 61)).image)
    assert len(features) == len(shown_levels(model)) == 3
    assert all(feature.ndim == 3 for feature in features)
    if name == "csrnet":
        assert shown_levels(model) == tuple(PAPER_NAMES)
