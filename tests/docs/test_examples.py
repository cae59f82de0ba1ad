"""The example scripts run, and what they train learns."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "losses_in_your_training_script",
        "your_own_model",
    }


def test_losses_in_your_training_script():
    output = subprocess.run(
        [sys.executable, EXAMPLES / "losses_in_your_training_script.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    totals = [float(line.split("total ")[1].split(" ")[0]) for line in output.splitlines()]
    assert len(totals) == 5
    assert totals == sorted(totals, reverse=True)


def test_your_own_model_fits_in_sixty_lines():
    assert len((EXAMPLES / "your_own_model.py").read_text().splitlines()) <= 60


def test_your_own_model_learns():
    steps = list(example("your_own_model").main(steps=30))
    for model in ("teacher", "student"):
        losses = [loss for name, loss in steps if name == model]
        assert len(losses) == 30
        assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5]), model


def test_your_own_model_reads_a_folder(tmp_path):
    for name in ("small", "large"):
        side = {"small": 40, "large": 100}[name]
        Image.new("RGB", (side, side + 9), (80, 120, 160)).save(tmp_path / f"{name}.jpg")
        np.savetxt(tmp_path / f"{name}.csv", [[10.5, 12.0], [30.0, 7.5]], delimiter=",")
    losses = [loss for _, loss in example("your_own_model").main(tmp_path, steps=2)]
    assert len(losses) == 4
    assert torch.isfinite(torch.tensor(losses)).all()
