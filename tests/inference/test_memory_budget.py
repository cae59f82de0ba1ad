"""Counting stays within its budget of memory, measured on a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from skt_crowd.efficiency.memory import GIB, activation_bytes, activation_bytes_per_pixel
from skt_crowd.inference import Predictor
from skt_crowd.models import CSRNet


def measured(image: Path, budget: int) -> dict[str, Any]:
    script = Path(__file__).with_name("memory_of_counting.py")
    command = [sys.executable, str(script), str(image), "csrnet", "1/4", str(budget)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc to measure memory")
def test_the_papers_largest_image_is_counted_within_half_a_gibibyte(tmp_path: Path) -> None:
    """2032 x 2912, the mean size of UCF-QNRF's test images: 1.0 GiB in one pass of a 1/4-CSRNet."""
    small = np.random.default_rng(0).integers(0, 256, (254, 364, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(small).resize((2912, 2032)).save(path)
    found = measured(path, GIB // 2)
    assert found["passes"] > 1
    assert found["above_the_weights"] <= GIB // 2


def test_what_is_alive_at_once_by_hand() -> None:
    """Input 3, hidden 8 and output 1 channel of float32; the input is kept by its maker, the hidden one is freed."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 1, 1))

    def forward(side: int) -> None:
        with torch.inference_mode():
            model(torch.zeros(1, 3, side, side))

    assert activation_bytes(forward, 10) == 4 * 100 * (3 + 8 + 1)
    assert activation_bytes_per_pixel(forward) == 4 * (3 + 8 + 1)


def test_csrnet_keeps_two_full_resolution_features_beside_its_input() -> None:
    """conv1_1 and conv1_2 of 4 channels each, and the image."""
    assert Predictor(CSRNet("1/16"))._bytes_per_pixel == pytest.approx(1.5 * 4 * (4 + 4 + 3))
