"""Structured Knowledge Transfer in a training script of your own: any two networks, hooks of your own, ten lines.

python examples/losses_in_your_training_script.py
"""

import torch
from torch import nn

from skt_ext.losses import StructuredKnowledgeTransfer


def small_counter(width: int) -> nn.Sequential:
    """Three stages of features at strides 1, 2 and 4, then a density map."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU()),
        nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.ReLU()
        ),
        nn.Conv2d(4 * width, 1, 1),
    )


def features_and_map(model: nn.Sequential, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    features = []
    for stage in model[:-1]:
        images = stage(images)
        features.append(images)
    return features, model[-1](images)


def main() -> None:
    torch.manual_seed(0)
    teacher, student = small_counter(16).eval(), small_counter(4)
    transfer = StructuredKnowledgeTransfer(student_channels=(4, 8, 16), teacher_channels=(16, 32, 64))
    optimizer = torch.optim.Adam([*student.parameters(), *transfer.parameters()], lr=1e-3)

    images = torch.rand(2, 3, 61, 97)  # any size: (N, 3, H, W)
    target = torch.rand(2, 1, 16, 25)  # people per cell of 4x4 pixels
    for step in range(5):
        with torch.no_grad():
            teacher_features, teacher_map = features_and_map(teacher, images)
        student_features, student_map = features_and_map(student, images)
        loss = transfer(student_features, teacher_features, student_map, teacher_map, target)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        print(
            f"step {step}: total {loss.total:.1f} = 0.5 * intra {loss.intra:.1f} + 0.5 * inter {loss.inter:.3f} "
            f"+ hard {loss.hard:.1f} + soft {loss.soft:.1f}"
        )


if __name__ == "__main__":
    main()
