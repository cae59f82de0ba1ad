"""The demonstration: does a student learn more with a teacher than without? On synthetic crowds.

One teacher is trained, then the same student several times: without transfer, with each of the two transfers
of the paper alone, and with everything. All students of a seed start from the same weights and see the same
crops in the same order.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from skt_crowd.data import CrowdDataset
from skt_crowd.evaluation import evaluate
from skt_crowd.evaluation import write_json as write_evaluation
from skt_crowd.files import require_unused, write_json
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import load_recipe
from skt_crowd.recipes.run import open_run, run_recipe
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.weights import load_model

SEEDS = (0, 1, 2)
QUICK_PART = 2  # a quick demonstration trains one student and takes half of the steps
TEST_IMAGES = 100


@dataclass(frozen=True)
class Variant:
    """One way to train the student: the terms of eq. 8 left out; the others keep the recipe's weights."""

    name: str
    folder: str
    without: tuple[str, ...]


NO_TRANSFER = Variant("no transfer", "none", ("intra", "inter", "soft"))
EVERYTHING = Variant("all: Intra-PT, Inter-RT, soft maps", "all", ())
DISTILLED = Variant("distilled student", EVERYTHING.folder, ())  # the only one of a quick demonstration
VARIANTS = (
    NO_TRANSFER,
    Variant("Intra-PT only", "intra", ("inter", "soft")),
    Variant("Inter-RT only", "inter", ("intra", "soft")),
    EVERYTHING,
)


@dataclass(frozen=True)
class Outcome:
    """Test errors of one model, one value per seed."""

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
    """The runs of the demonstration, in one folder.

    Args:
        output: a new or empty folder.
        quick: a teacher and one student distilled from it, with half of the steps: a first look. One short run says
            nothing about what the transfer is worth, so nothing is compared.
        overrides: ``key=value`` texts for both recipes, for example ``training.threads=2``.
        resume: ``output`` may also hold a demonstration that was stopped or has finished. Its finished runs
            are used as they are, and one that was stopped goes on.

    Raises:
        UsageError: the folder holds something else.
    """

    def __init__(
        self, output: Path, *, quick: bool = False, overrides: Sequence[str] = (), resume: bool = False
    ) -> None:
        self.output, self.quick = output, quick
        self.seeds = SEEDS[:1] if quick else SEEDS
        self.variants = (DISTILLED,) if quick else VARIANTS
        self.teacher = RunFolder(output / "teacher")
        if not resume:
            require_unused(output, "give another, or --resume to continue a demonstration")
        elif not self.teacher.recipe.is_file():
            require_unused(output, "it holds no demonstration that --resume could continue")
        self.teacher_recipe = self._shortened(
            load_recipe("demo_teacher", [*overrides, f"training.seed={self.seeds[0]}"])
        )
        self.student_recipe = self._shortened(
            load_recipe(
                "demo_student", [*overrides, f"teacher.checkpoint={json.dumps(str(self.teacher.final))}"]
            )
        )

    @property
    def command(self) -> str:
        """What makes such a demonstration."""
        return f"skt demo {'--quick ' if self.quick else ''}--output DIR"

    def run(self, console: Console) -> list[Outcome]:
        """Train and evaluate what is not there yet: the teacher's outcome, then one for each variant.

        Raises:
            UsageError: a run that is there already has another recipe; names the keys.
        """
        students = [(variant, seed) for seed in self.seeds for variant in self.variants]
        titles = ["the teacher", *(f"{variant.name}, seed {seed}" for variant, seed in students)]
        recipes = [self.teacher_recipe, *(self.recipe_of(variant, seed) for variant, seed in students)]
        folders = [self.teacher, *(self.student(variant, seed) for variant, seed in students)]
        for number, (title, recipe, folder) in enumerate(zip(titles, recipes, folders, strict=True), start=1):
            console.print(f"[bold]{number} of {len(folders)}: {title}[/bold]", highlight=False)
            self._run(recipe, folder, console)
        outcomes = [_outcome("teacher", [self.teacher])]
        outcomes += [_outcome(v.name, [self.student(v, seed) for seed in self.seeds]) for v in self.variants]
        self._write_results(outcomes, folders)
        return outcomes

    def _shortened(self, recipe: Recipe) -> Recipe:
        if not self.quick:
            return recipe
        steps = max(1, recipe.training.steps // QUICK_PART)
        return recipe.model_copy(update={"training": recipe.training.model_copy(update={"steps": steps})})

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
        return data.model_copy(update={"options": options}).open("test")

    def _run(self, recipe: Recipe, folder: RunFolder, console: Console) -> None:
        """Train and evaluate one model, or what is left of it to do."""
        if folder.results.is_file():
            open_run(folder.path, recipe.with_absolute_paths())  # refuses a run of another recipe
            console.print("finished before", highlight=False)
        else:
            run_recipe(recipe, folder.path, resume=folder.recipe.is_file(), console=console)
        if not _test_errors(folder).is_file():
            dataset = self.test_images()
            result = evaluate(load_model(folder.model()), dataset, range(len(dataset)))
            write_evaluation(_test_errors(folder), result)

    def _write_results(self, outcomes: Sequence[Outcome], folders: Sequence[RunFolder]) -> None:
        content = {
            "seeds": self.seeds,
            "test_images": TEST_IMAGES,
            "steps": self.student_recipe.training.steps,
            "training_seconds": round(sum(_read(folder.results)["seconds"] for folder in folders), 1),
            "outcomes": [asdict(outcome) for outcome in outcomes],
            "environment": _read(self.teacher.environment),
        }
        write_json(self.output / "results.json", content)


def _outcome(name: str, folders: Sequence[RunFolder]) -> Outcome:
    """The test errors of one model's runs, one run per seed."""
    errors = [_read(_test_errors(folder)) for folder in folders]
    parameters = _read(folders[0].results)["parameters"]
    return Outcome(name, parameters, tuple(e["mae"] for e in errors), tuple(e["rmse"] for e in errors))


def _test_errors(folder: RunFolder) -> Path:
    """Errors of a run on the test images; the run's own ``results.json`` has those on its held-out part."""
    return folder.path / "test.json"


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
