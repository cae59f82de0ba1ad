"""The crowds that the density benchmarks draw."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from skt_crowd.data import open_dataset

PART_A = Path("data/shanghaitech/part_A/train_data")


def part_a_arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--part-a",
        type=Path,
        default=PART_A,
        help="ShanghaiTech Part A's train_data folder (default: %(default)s)",
    )
    parser.add_argument("--image", default="IMG_10", help="default: %(default)s, 920 people")
    return parser


def part_a_crowd(folder: Path, name: str) -> tuple[torch.Tensor, np.ndarray]:
    """points (P, 2) float64 and the image (H, W, 3) uint8"""
    dataset = open_dataset("shanghaitech", folder)
    sample = dataset[list(dataset.names).index(name)]
    return torch.from_numpy(sample.points), sample.image


def synthetic_crowd(people: int, shape: tuple[int, int], *, seed: int = 0) -> torch.Tensor:
    """points (P, 2): half of them anywhere, half denser towards the top, as a camera sees a crowd."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(people, 2, generator=generator, dtype=torch.float64)
    share[: people // 2, 1] **= 2.5
    return share * torch.tensor([shape[1], shape[0]], dtype=torch.float64)
