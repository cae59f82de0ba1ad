"""The folder of a run: where everything is, and when it may be written to."""

from __future__ import annotations

from pathlib import Path

from skt_crowd.errors import UsageError
from skt_crowd.files import require_unused, write_text


class RunFolder:
    """Paths inside one run.

    - ``recipe.yaml``: the recipe with every default and override written out
    - ``environment.json``: versions, machine, threads, command
    - ``metrics.jsonl``: losses, learning rate and held-out errors by step, one JSON object per line
    - ``events/``: the same for TensorBoard
    - ``checkpoints/last.pt``: everything a continuation needs
    - ``checkpoints/best.safetensors``: the model with the least held-out MAE
    - ``checkpoints/final.safetensors``: the model after the last step
    - ``predictions.csv``: predicted and true count of every selection image
    - ``results.json``: the numbers of the run; there when it has finished
    - ``plots/``, ``report.md``: the same for people
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.events = self.path / "events"
        self.checkpoints = self.path / "checkpoints"
        self.last = self.checkpoints / "last.pt"
        self.best = self.checkpoints / "best.safetensors"
        self.final = self.checkpoints / "final.safetensors"
        self.predictions = self.path / "predictions.csv"
        self.results = self.path / "results.json"
        self.plots = self.path / "plots"
        self.report = self.path / "report.md"

    @classmethod
    def create(cls, path: str | Path, recipe: str) -> RunFolder:
        """A new run with its recipe as YAML.

        Raises:
            UsageError: the folder holds anything; no run overwrites another.
        """
        folder = cls(path)
        require_unused(folder.path, "give another, or --resume to continue a run")
        write_text(folder.recipe, recipe)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A run that exists."""
        folder = cls(path)
        if not folder.recipe.is_file():
            raise UsageError(f"{folder.path}: not a run folder: it has no recipe.yaml")
        return folder

    def model(self) -> Path:
        """The checkpoint to use: the best on the held-out part, or the final one of a run without one."""
        for candidate in (self.best, self.final):
            if candidate.is_file():
                return candidate
        raise UsageError(f"{self.path}: this run has no finished model yet; continue it with --resume")
