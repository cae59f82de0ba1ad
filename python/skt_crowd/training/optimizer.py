"""The optimiser of a recipe and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.settings import Settings, Weight


class OptimizerSettings(Settings):
    """The optimiser and the schedule of its learning rate."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    # sgd only
    momentum: float = Field(default=0.0, ge=0, lt=1)
    # Factor for the parameters under a module path, the longest path wins; 0 freezes them. {frontend: 0.4}
    learning_rate_scales: dict[str, Weight] = Field(default_factory=dict)
    # cosine: down to zero at the last step; warmup_steps rise linearly before either.
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    # Largest norm of the whole gradient; null: not clipped.
    gradient_clip: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _momentum_is_for_sgd(self) -> OptimizerSettings:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"momentum is for name: sgd only, got name: {self.name}")
        return self

    def build(self, student: nn.Module, embeddings: nn.Module | None = None) -> torch.optim.Optimizer:
        """An optimiser over the student and the embeddings of the transfer, one group per learning-rate scale.

        Parameters with scale 0 are frozen: they get no gradient. Each group keeps its scale under ``"scale"``.

        Raises:
            UsageError: a path of ``learning_rate_scales`` names no module of the student, or everything is
                frozen.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in student.named_parameters():
            groups.setdefault(_scale(name, self.learning_rate_scales), []).append(parameter)
        _check_paths(self.learning_rate_scales, [name for name, _ in student.named_parameters()])
        for parameter in groups.pop(0.0, []):
            parameter.requires_grad_(False)
        if not groups:
            raise UsageError(
                "optimizer.learning_rate_scales: every parameter of the model is frozen; "
                "nothing is left to train"
            )
        if embeddings is not None:
            groups.setdefault(1.0, []).extend(embeddings.parameters())
        parameters = [{"params": members, "scale": scale} for scale, members in groups.items()]
        rate, decay = self.learning_rate, self.weight_decay
        if self.name == "sgd":
            return torch.optim.SGD(
                parameters, lr=rate, weight_decay=decay, momentum=self.momentum, fused=True
            )
        kind = torch.optim.AdamW if self.name == "adamw" else torch.optim.Adam
        return kind(parameters, lr=rate, weight_decay=decay, fused=True)

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of step ``step`` of ``steps``, from 0: linear warm-up, then constant or a cosine to zero.

        Example:
            >>> OptimizerSettings(learning_rate=0.1, warmup_steps=2).rate_at(0, 10)
            0.05
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group ``rate`` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def _scale(name: str, scales: dict[str, float]) -> float:
    """The scale of the longest module path that holds the parameter, 1 without one."""
    holders = [path for path in scales if name == path or name.startswith(path + ".")]
    return scales[max(holders, key=len)] if holders else 1.0


def _check_paths(paths: Iterable[str], names: list[str]) -> None:
    for path in paths:
        if not any(name == path or name.startswith(path + ".") for name in names):
            modules = sorted({name.partition(".")[0] for name in names})
            raise UsageError(
                f"optimizer.learning_rate_scales: the model has no parameters under {path!r}; "
                f"it has {', '.join(modules)}"
            )
