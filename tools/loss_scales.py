"""How large each term of equation 8 and its gradient are, for a fresh student and a trained teacher.

    python tools/loss_scales.py --part-a data/shanghaitech/part_A --teacher weights/csrnet_part_a_teacher.safetensors

Prints, for both profiles, the mean term of an image and the norm of its gradient with respect to the student's weights:
what the weights of a recipe have to bring into balance. See docs/transfer.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from skt_crowd.data import SigmaRule, TrainingCrops, hold_out, open_dataset
from skt_crowd.models import CrowdModel, FeatureTaps, build_model
from skt_crowd.weights import load_model
from skt_ext.losses import StructuredKnowledgeTransfer

TERMS = ("intra", "inter", "hard", "soft")


def gradient_norm(term: Tensor, parameters: list[Tensor]) -> float:
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return sum(float(g.double().square().sum()) for g in gradients if g is not None) ** 0.5


def measure(profile: str, teacher: CrowdModel, images: Tensor, targets: Tensor, steps: int) -> None:
    """Print the terms of a fresh student, update it ``steps`` times with the paper's weights, and print them again."""
    torch.manual_seed(0)
    student = build_model("csrnet", "1/4").train()
    transfer = StructuredKnowledgeTransfer(
        student.tap_channels(profile), teacher.tap_channels(profile), profile=profile, reduction="batchmean"
    )
    with torch.no_grad(), FeatureTaps(teacher, teacher.tap_paths(profile)) as of_teacher:
        soft = teacher(images)
    optimizer = torch.optim.Adam([*student.parameters(), *transfer.parameters()], lr=1e-3)
    for step in range(steps + 1):
        with FeatureTaps(student, student.tap_paths(profile)) as of_student:
            predicted = student(images)
        losses = transfer(of_student.features, of_teacher.features, predicted, soft, targets)
        if step in (0, steps):
            print(f"profile {profile}, after {step} updates")
            for name in TERMS:
                term = getattr(losses, name)
                norm = gradient_norm(term, list(student.parameters()))
                print(f"  {name:6s} {term.item():10.3g}   gradient {norm:10.3g}")
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part-a", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=30, help="updates before the second measurement")
    arguments = parser.parse_args()

    dataset = open_dataset("shanghaitech", arguments.part_a)
    indices, _ = hold_out(dataset.names, 0.1, 0)
    sigma = SigmaRule(kind="adaptive")
    crops = TrainingCrops(dataset, indices, crop=256, flip_probability=0.0, seed=0, sigma=sigma)
    batch = [crops[item] for item in range(4)]
    images = torch.stack([crop.image for crop in batch])
    targets = torch.stack([crop.target for crop in batch])
    teacher = load_model(arguments.teacher)
    for profile in ("paper", "released"):
        measure(profile, teacher, images, targets, arguments.steps)


if __name__ == "__main__":
    main()
