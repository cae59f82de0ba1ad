"""Small recipes on rendered crowds for the tests of training."""

from pathlib import Path
from typing import Any

from skt_crowd.recipes import Recipe
from skt_crowd.settings import validate

SETTINGS: dict[str, Any] = {
    "kind": "train",
    "model": {"channel_preservation_rate": "1/16"},
    "data": {
        "kind": "synthetic",
        "options": {"length": 6, "height": 48, "width": 56, "seed": 3},
        "held_out_fraction": 0.34,
        "crop": 32,
        "sigma": {"kind": "fixed", "value": 2.0},
    },
    "optimizer": {"learning_rate": 1e-3},
    "training": {
        "steps": 6,
        "batch_size": 2,
        "threads": 1,
        "precision": "float32",
        "log_every": 2,
        "evaluate_every": 3,
        "checkpoint_every": 4,
    },
}
TRANSFER = {"profile": "released", "intra": 0.01, "inter": 0.01}


def settings(**sections: dict[str, Any]) -> dict[str, Any]:
    """``SETTINGS`` with keys of its sections replaced."""
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in SETTINGS.items()}
    for name, value in sections.items():
        merged[name] = merged.get(name, {}) | value
    return merged


def recipe(**sections: dict[str, Any]) -> Recipe:
    return validate(Recipe, settings(**sections), "test")


def distillation(checkpoint: Path, **sections: dict[str, Any]) -> Recipe:
    content = settings(**{"teacher": {"checkpoint": str(checkpoint)}, "transfer": TRANSFER} | sections)
    return validate(Recipe, content | {"kind": "distill"}, "test")
