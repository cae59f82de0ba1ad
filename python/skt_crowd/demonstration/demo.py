"""The demonstration: does a student learn more with a teacher than without? On drawn crowds.

One teacher is trained, then the same student several times: without transfer, with each of the two transfers
of the paper alone, and with everything. All students of a seed start from the same weights and see the same
crops in the same order.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from skt_crowd.data import CrowdDataset
from skt_crowd.errors import UsageError
from skt_crowd.evaluation import Evaluation, evaluate
from skt_crowd.files import write_json
from skt_crowd.models import load_model
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import load_recipe
from skt_crowd.training.environment import describe_environment
from skt_crowd.training.run import run_recipe
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.training.selection import open_split

SEEDS = (0, 1, 2)
TEST_IMAGES = 100


@dataclass(frozen=True)
class Variant:
    """One way to train the student: the terms of eq. 8 left out; the others keep the recipe's weights."""

    name: str
    folder: str
    without: tuple[str, ...]


NO_TRANSFER = Variant("no transfer", "none", ("intra", "inter", "soft"))
EVERYTHING = Variant("all: Intra-PT, Inter-RT, soft maps", "all", ())
VARIANTS = (
    NO_TRANSFER,
    Variant("Intra-PT only", "intra", ("inter", "soft")),
    Variant("Inter-RT only", "inter", ("intra", "soft")),
    EVERYTHING,
)


@dataclass(frozen=True)
class Outcome:
    """Test errors of one counter, a value for each seed."""

    name: str
    parameters: int
    mae: tuple[float, ...]
    rmse: tuple[float, ...]

    def row(self) -> tuple[str, str, str, str]:
        """Name, parameters, MAE and RMSE as a table shows them."""
        return self.name, f"{self.parameters:,}", _spread(self.mae), _spread(self.rmse)


def _spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation``, or the value where there is only one seed."""
    mean = statistics.fmean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


class Demo:
    """The runs of the demonstration below one folder.

    Args:
        output: a new or empty folder.
        seeds: of the students' weights and crops; the teacher has the first one.
        overrides: ``key=value`` texts for both recipes, for example ``training.threads=2``.
    """

    def __init__(self, output: Path, seeds: Sequence[int], overrides: Sequence[str] = ()) -> None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"{output}: the output exists and is not an empty folder; give another")
        self.output, self.seeds, self.seconds = output, tuple(seeds), 0.0
        self.teacher = RunFolder(output / "teacher")
        self.teacher_recipe = load_recipe("demo_teacher", [*overrides, f"training.seed={self.seeds[0]}"])
        self.student_recipe = load_recipe(
            "demo_student", [*overrides, f"teacher.checkpoint={json.dumps(str(self.teacher.best))}"]
        )

    def run(self, console: Console) -> list[Outcome]:
        """Train and judge everything: the teacher's outcome, then one for each of ``VARIANTS``."""
        began = time.perf_counter()
        total = 1 + len(self.seeds) * len(VARIANTS)
        console.print(f"[bold]1 of {total}: the teacher[/bold]")
        run_recipe(self.teacher_recipe, self.teacher.path, console=console)
        teacher = self._judge(self.teacher)
        judged: dict[str, list[Evaluation]] = {variant.name: [] for variant in VARIANTS}
        done = 1
        for seed in self.seeds:
            for variant in VARIANTS:
                done += 1
                spent = time.perf_counter() - began
                console.print(
                    f"[bold]{done} of {total}: {variant.name}, seed {seed}[/bold] ({spent:.0f} s so far)"
                )
                run = self.student(variant, seed)
                run_recipe(self.recipe_of(variant, seed), run.path, console=console)
                judged[variant.name].append(self._judge(run))
        outcomes = [_outcome("teacher", self.teacher, [teacher])]
        outcomes += [_outcome(v.name, self.student(v, self.seeds[0]), judged[v.name]) for v in VARIANTS]
        self.seconds = time.perf_counter() - began
        self._write_results(outcomes)
        return outcomes

    def recipe_of(self, variant: Variant, seed: int) -> Recipe:
        """The student's recipe with the variant's terms left out; nothing else differs between variants."""
        student = self.student_recipe
        training = student.training.model_copy(update={"seed": seed})
        if variant is NO_TRANSFER:
            alone = {"kind": "train", "teacher": None, "transfer": None, "training": training}
            return student.model_copy(update=alone)
        assert student.transfer is not None
        transfer = student.transfer.model_copy(update=dict.fromkeys(variant.without, 0.0))
        return student.model_copy(update={"transfer": transfer, "training": training})

    def student(self, variant: Variant, seed: int) -> RunFolder:
        """The folder of one student's run."""
        return RunFolder(self.output / f"student-{variant.folder}-seed{seed}")

    def test_images(self) -> CrowdDataset:
        """Images that no run has trained or selected on."""
        data = self.student_recipe.data
        options = data.options | {"length": TEST_IMAGES}
        return open_split(data.model_copy(update={"options": options}), "test")

    def _judge(self, run: RunFolder) -> Evaluation:
        dataset = self.test_images()
        return evaluate(load_model(run.model()), dataset, range(len(dataset)))

    def _write_results(self, outcomes: Sequence[Outcome]) -> None:
        content = {
            "seeds": self.seeds,
            "test_images": TEST_IMAGES,
            "steps": self.student_recipe.training.steps,
            "seconds": round(self.seconds, 1),
            "outcomes": [asdict(outcome) for outcome in outcomes],
            "environment": describe_environment(),
        }
        write_json(self.output / "results.json", content)


def _outcome(name: str, run: RunFolder, evaluations: Sequence[Evaluation]) -> Outcome:
    parameters = json.loads(run.results.read_text(encoding="utf-8"))["parameters"]
    return Outcome(name, parameters, tuple(e.mae for e in evaluations), tuple(e.rmse for e in evaluations))
