"""The sections of a recipe: every setting of a run, its range and its default.

A recipe is a YAML file with the sections below. Unknown keys, values out of range and sections that do not
belong together are refused. ``skt_crowd.recipes.load_recipe`` reads one and turns each refusal into one
line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from skt_crowd.data.selection import DataSettings
from skt_crowd.objectives.distillation import TransferSettings
from skt_crowd.objectives.supervised import LossSettings
from skt_crowd.settings import Settings
from skt_crowd.training.loop import TrainingSettings
from skt_crowd.training.optimizer import OptimizerSettings
from skt_crowd.weights import ModelSettings


class TeacherSettings(Settings):
    """The trained model whose knowledge is transferred."""

    checkpoint: str


class Recipe(Settings):
    """Everything that decides a run.

    ``kind: train`` trains against the annotation alone; ``kind: distill`` also transfers from a teacher.

    Example:
        >>> recipe = Recipe.model_validate(
        ...     {"kind": "train", "data": {"kind": "synthetic"}, "training": {"steps": 10}}
        ... )
        >>> recipe.optimizer.learning_rate
        0.0001
    """

    kind: Literal["train", "distill"]
    model: ModelSettings = ModelSettings()
    teacher: TeacherSettings | None = None
    transfer: TransferSettings | None = None
    loss: LossSettings = LossSettings()
    data: DataSettings
    optimizer: OptimizerSettings = OptimizerSettings()
    training: TrainingSettings

    @model_validator(mode="after")
    def _teacher_fits_kind(self) -> Recipe:
        if self.kind == "train" and (self.teacher is not None or self.transfer is not None):
            raise ValueError("teacher and transfer belong to kind: distill, got kind: train")
        if self.kind == "distill" and self.transfer is None:
            raise ValueError("kind: distill needs a section transfer with the weights of its terms")
        if self.kind == "distill" and self.teacher is None:
            raise ValueError("kind: distill needs teacher.checkpoint, a file (or --teacher FILE)")
        return self

    def with_absolute_paths(self) -> Recipe:
        """The recipe with its files as absolute paths, so that its run folder can be used from anywhere."""
        model, data, teacher = self.model, self.data, self.teacher
        if model.initial_weights is not None and model.initial_weights != "torchvision":
            model = model.model_copy(update={"initial_weights": _absolute(model.initial_weights)})
        if data.root is not None:
            data = data.model_copy(update={"root": _absolute(data.root)})
        if teacher is not None:
            teacher = teacher.model_copy(update={"checkpoint": _absolute(teacher.checkpoint)})
        return self.model_copy(update={"model": model, "data": data, "teacher": teacher})


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())
