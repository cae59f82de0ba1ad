"""The folder of a run: where everything is, and when it may be written to."""

from __future__ import annotations

from pathlib import Path

from skt_crowd.errors import UsageError
from skt_crowd.files import require_unused, write_text


class RunFolder:
    """Paths inside one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"  # with every default and override written out
        self.environment = self.path / "environment.json"  # versions, machine, threads, command
        # Losses, learning rate and held-out errors by step, one JSON object per line; and the same for TensorBoard.
        self.metrics, self.events = self.path / "metrics.jsonl", self.path / "events"
        checkpoints = self.path / "checkpoints"
        self.last = checkpoints / "last.pt"  # everything that a continuation needs
        self.best = checkpoints / "best.safetensors"  # the model with the least held-out MAE
        self.final = checkpoints / "final.safetensors"  # the model after the last step
        self.predictions = self.path / "predictions.csv"  # predicted and true count of every selection image
        self.results = self.path / "results.json"  # the numbers of the run; there when it has finished
        self.plots, self.report = self.path / "plots", self.path / "report.md"  # the same for people

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
