"""The demonstration, a few steps long: its variants differ in the transfer alone, it goes on after a stop."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from skt_crowd.errors import UsageError
from skt_crowd.recipes import demonstration as module
from skt_crowd.recipes.demonstration import VARIANTS, Demo, Outcome
from skt_crowd.recipes.recipe_file import differing_keys
from skt_crowd.training.loop import TrainingLoop

TINY = [
    "model.channel_preservation_rate=1/64",
    "data.options={length: 4, height: 40, width: 40, people_max: 8}",
    "data.held_out_fraction=0.25",
    "data.crop=16",
    "training.steps=2",
    "training.checkpoint_every=1",
    "training.batch_size=1",
    "training.threads=1",
]
QUIET = Console(quiet=True)


class Killed(BaseException):
    """Stands for a kill: nothing of the demonstration may catch it."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Die before the step with this number, counted over all runs from 1; 0 is any step."""
    original, taken = TrainingLoop._step, 0

    def step_or_die(self: TrainingLoop, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal taken
        taken += 1
        if step in (0, taken):
            raise Killed
        return original(self, *batch)

    monkeypatch.setattr(TrainingLoop, "_step", step_or_die)


def test_variants_differ_in_the_transfer_alone(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo")
    recipes = [demo.recipe_of(variant, 1) for variant in VARIANTS]
    for recipe in recipes[1:]:
        sections = {key.split(" ")[0].split(".")[0] for key in differing_keys(recipes[0], recipe)}
        assert sections <= {"kind", "teacher", "transfer"}
    assert recipes[0].kind == "train"
    kept = [
        recipe.transfer.model_dump(include={"intra", "inter", "soft"})
        for recipe in recipes[1:]
        if recipe.transfer
    ]
    assert [[name for name, weight in terms.items() if weight > 0] for terms in kept] == [
        ["intra"],
        ["inter"],
        ["intra", "inter", "soft"],
    ]


def test_a_row_has_mean_and_standard_deviation() -> None:
    assert Outcome("a", 1234, (2.0, 4.0), (3.0, 3.0)).row() == ("a", "1,234", "3.00 ± 1.41", "3.00 ± 0.00")
    assert Outcome("a", 1, (2.0,), (3.5,)).row() == ("a", "1", "2.00", "3.50")


def test_a_stopped_demonstration_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TEST_IMAGES", 5)
    monkeypatch.setattr(module, "SEEDS", (0,))
    whole = Demo(tmp_path / "whole", overrides=TINY, resume=True).run(QUIET)  # resume begins where nothing is
    output = tmp_path / "stopped"
    # Steps 1 and 2 are the teacher's, 3 and 4 the first student's: a stop after that one's first checkpoint.
    # It goes on with step 4, so the second stop is in the next student, before there is any checkpoint.
    for stop in (4, 2):
        demo = Demo(output, overrides=TINY, resume=True)
        with monkeypatch.context() as patch:
            die_at(patch, stop)
            with pytest.raises(Killed):
                demo.run(QUIET)
    assert Demo(output, overrides=TINY, resume=True).run(QUIET) == whole

    # A finished one takes no step, and shows the same again.
    die_at(monkeypatch, 0)
    results = (output / "results.json").read_bytes()
    assert Demo(output, overrides=TINY, resume=True).run(QUIET) == whole
    assert (output / "results.json").read_bytes() == results
    with pytest.raises(UsageError, match=r"these keys differ .* training.steps \(2 and 9\)"):
        Demo(output, overrides=[*TINY, "training.steps=9"], resume=True).run(QUIET)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not an empty folder; give another, or --resume"):
        Demo(tmp_path, quick=True)
    with pytest.raises(UsageError, match="it holds no demonstration that --resume could continue"):
        Demo(tmp_path, quick=True, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
