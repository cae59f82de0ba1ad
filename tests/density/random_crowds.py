"""Small random crowds, regions and images for the tests of maps and widths."""

import torch


def crowd(people: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(P, 2) [x, y] inside the image."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height], dtype=torch.float64)
    return torch.rand(people, 2, generator=generator, dtype=torch.float64) * size


def region(height: int, width: int, seed: int = 0, share: float = 0.75) -> torch.Tensor:
    """(H, W) bool noise: walls, gaps and closed rooms of every shape."""
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < share


def picture(channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(C, H, W) in [0, 1]"""
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))


def count_inside(points: torch.Tensor, roi: torch.Tensor) -> int:
    return int(roi[points[:, 1].long(), points[:, 0].long()].sum())
