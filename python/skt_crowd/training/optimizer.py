"""The optimiser of a recipe and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from skt_crowd.errors import UsageError
from skt_crowd.recipes.recipe import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, student: nn.Module, embeddings: nn.Module | None = None
) -> torch.optim.Optimizer:
    """An optimiser over the student and the embeddings of the transfer, one group a learning-rate scale.

    Parameters with scale 0 are frozen: they get no gradient. Each group keeps its scale under ``"scale"``.

    Raises:
        UsageError: a path of ``learning_rate_scales`` names no module of the student, or everything is
            frozen.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in student.named_parameters():
        groups.setdefault(_scale(name, settings.learning_rate_scales), []).append(parameter)
    _check_paths(settings.learning_rate_scales, [name for name, _ in student.named_parameters()])
    for parameter in groups.pop(0.0, []):
        parameter.requires_grad_(False)
    if not groups:
        raise UsageError(
            "optimizer.learning_rate_scales: every parameter of the model is frozen; nothing is left to train"
        )
    if embeddings is not None:
        groups.setdefault(1.0, []).extend(embeddings.parameters())
    parameters = [{"params": members, "scale": scale} for scale, members in groups.items()]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=rate, weight_decay=decay, momentum=settings.momentum, fused=True
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)


def learning_rate(settings: OptimizerSettings, step: int, steps: int) -> float:
    """Learning rate of step ``step``, counted from 0: linear warm-up, then constant or a cosine to zero.

    >>> learning_rate(OptimizerSettings(learning_rate=0.1, warmup_steps=2), 0, 10)
    0.05
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    progress = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """``rate`` times its scale for each group."""
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
