"""Recipes: what they accept, and the one line that says what is wrong with the others."""

from pathlib import Path

import pytest
import yaml

from skt_crowd.errors import UsageError
from skt_crowd.recipes import load_recipe
from skt_crowd.recipes.recipe_file import differing_keys, dump_recipe, recipe_names

MINIMAL = {"kind": "train", "data": {"kind": "synthetic"}, "training": {"steps": 10}}


def write(folder: Path, content: object) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def message(path: Path | str, *overrides: str) -> str:
    with pytest.raises(UsageError) as error:
        load_recipe(path, overrides)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_package_are_valid(name: str) -> None:
    assert (
        load_recipe(
            name, ["teacher.checkpoint=t.safetensors"] if "transfer" in read(name) else []
        ).training.steps
        > 0
    )


def read(name: str) -> dict[str, object]:
    import skt_crowd

    path = Path(skt_crowd.__file__).parent / "recipes" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_student_and_distill_recipes_differ_only_in_the_transfer() -> None:
    student = load_recipe("csrnet_part_a_student")
    distill = load_recipe("csrnet_part_a_distill", ["teacher.checkpoint=t"])
    assert {key.split(" ")[0].split(".")[0] for key in differing_keys(student, distill)} == {
        "kind",
        "teacher",
        "transfer",
    }


def test_run_folders_of_the_first_version_can_be_read(tmp_path: Path) -> None:
    weights = ["model.initialization=vgg16", "model.initial_weights=f.safetensors"]
    assert load_recipe(write(tmp_path, MINIMAL), weights).model.initialization == "imagenet"


@pytest.mark.parametrize("model", ["csrnet", "bl", "sanet", "can", "dssinet", "mcnn"])
def test_every_model_has_a_recipe_for_a_teacher_and_one_for_a_student(model: str) -> None:
    teacher = load_recipe(f"{model}_part_a_teacher")
    student = load_recipe(f"{model}_part_a_distill", ["teacher.checkpoint=t"])
    assert (teacher.kind, student.kind) == ("train", "distill")
    assert teacher.model.name == student.model.name == model
    assert teacher.model.channel_preservation_rate == 4 * student.model.channel_preservation_rate
    assert teacher.loss.kind == student.loss.kind


def test_a_resolved_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL), ["model.channel_preservation_rate=1/3"])
    assert recipe.model.channel_preservation_rate == 1 / 3
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


def test_overrides_reach_missing_sections_and_read_yaml(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, MINIMAL),
        [
            "optimizer.learning_rate=1e-3",
            "optimizer.learning_rate_scales={frontend.0: 0}",
            "data.options.length=3",
        ],
    )
    assert recipe.optimizer.learning_rate == 1e-3
    assert recipe.optimizer.learning_rate_scales == {"frontend.0": 0.0}
    assert recipe.data.options == {"length": 3}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"training": {"step": 10}}, "training.step: unknown key; did you mean training.steps?"),
        ({"steps": 10}, "steps: unknown key; did you mean training.steps?"),
        ({"training": {"steps": 0}}, "training.steps: expected greater than or equal to 1, got 0"),
        ({"training": {"steps": "many"}}, "training.steps: expected a valid integer"),
        ({"optimizer": {"learning_rate": -1}}, "optimizer.learning_rate: expected greater than 0, got -1"),
        ({"optimizer": {"learning_rate": float("nan")}}, "optimizer.learning_rate: expected a finite number"),
        ({"kind": "destill"}, "kind: expected 'train' or 'distill', got 'destill'"),
        ({"kind": "distill"}, "kind: distill needs a section transfer"),
        (
            {"kind": "distill", "transfer": {}},
            "kind: distill needs teacher.checkpoint, a file (or --teacher FILE)",
        ),
        ({"transfer": {}}, "teacher and transfer belong to kind: distill, got kind: train"),
        (
            {"model": {"channel_preservation_rate": "4/1"}},
            "model.channel_preservation_rate: expected more than 0 and at most 1, got '4/1'",
        ),
        (
            {"model": {"initialization": "imagenet"}},
            "model: initialization: imagenet needs initial_weights, a file",
        ),
        ({"model": {"initial_weights": "w.pth"}}, "is not used by initialization: kaiming"),
        (
            {
                "model": {
                    "initialization": "imagenet",
                    "initial_weights": "w",
                    "channel_preservation_rate": "1/2",
                }
            },
            "model: initialization: imagenet fits channel_preservation_rate 1 only",
        ),
        (
            {"data": {"kind": "synthetic", "selection_split": "test"}},
            "give held_out_fraction or selection_split, not both",
        ),
        ({"data": None}, "data: "),
        ({"optimizer": {"momentum": 0.9}}, "momentum is for name: sgd only, got name: adam"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    path = write(tmp_path, MINIMAL | change)
    text = message(path)
    assert text.startswith(f"{path}: ")
    assert expected in text


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"kind": "train", "data": {"kind": "synthetic"}})
    assert message(path) == f"{path}: training: this key is missing"


def test_a_mistake_of_an_override_names_the_override(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    assert message(path, "training.batch_size=0").startswith("--set training.batch_size: expected greater")
    assert message(path, "training.stepz=1").startswith(
        "--set training.stepz: unknown key; did you mean training.steps?"
    )
    assert message(path, "training.steps") == (
        "--set training.steps: expected section.key=value, for example training.steps=200"
    )
    assert message(path, "training.steps.a=1") == "--set training.steps.a=1: steps is a value, not a section"
    assert "the value is not YAML" in message(path, "training.steps=[1")


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    missing = tmp_path / "csrnet_part_a_techer.yaml"
    assert message(missing).startswith(
        f"{missing}: no such recipe file; recipes by name: csrnet_part_a_teacher"
    )
    assert message(write(tmp_path, "just words")).endswith("got 'just words'")
    assert "line 2" in message(write(tmp_path, "kind: train\n  data: [\n"))
    assert "not UTF-8 text" in message(binary(tmp_path))
    assert "cannot read the recipe" in message(tmp_path)


def binary(folder: Path) -> Path:
    path = folder / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x80")
    return path


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(
        "csrnet_part_a_distill", ["teacher.checkpoint=t.safetensors", "data.root=part_A", "training.steps=1"]
    )
    resolved = recipe.with_absolute_paths()
    assert resolved.data.root == str(tmp_path / "part_A")
    assert resolved.teacher is not None
    assert resolved.teacher.checkpoint == str(tmp_path / "t.safetensors")
    assert load_recipe("csrnet_part_a_teacher").with_absolute_paths().model.initial_weights == "torchvision"
