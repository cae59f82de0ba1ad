"""Your own model and your own data set, distilled: python examples/your_own_model.py [FOLDER]"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import Conv2d, MaxPool2d, ReLU, Sequential

from skt_crowd.models import FeatureTaps
from skt_ext.density import density_map
from skt_ext.losses import StructuredKnowledgeTransfer

CROP, TAPS, random = 64, ("1", "4", "7"), np.random.default_rng(0)  # TAPS: the modules compared, finest first


def network(c):  # (N, 3, H, W) -> (N, 1, H / 4, W / 4) people per cell of 4x4 pixels
    first = [Conv2d(3, c, 3, padding=1), ReLU(), MaxPool2d(2)]
    second = [Conv2d(c, 2 * c, 3, padding=1), ReLU(), MaxPool2d(2)]
    return Sequential(*first, *second, Conv2d(2 * c, 4 * c, 3, padding=1), ReLU(), Conv2d(4 * c, 1, 1))


def crop(path):  # NAME.jpg with a line "x,y" for each person in NAME.csv; None for a synthetic crowd
    if path:
        image, points = Image.open(path), np.loadtxt(path.with_suffix(".csv"), delimiter=",", ndmin=2)
    else:
        points = random.uniform(0, CROP, (random.integers(5, 40), 2))  # (P, 2) [x, y] in pixels
        discs = 3000 * density_map(points, (CROP, CROP), 1.5).numpy()
        image = Image.fromarray((discs + random.uniform(0, 80, discs.shape)).clip(0, 255).astype(np.uint8))
    x, y = (random.integers(max(side - CROP, 0) + 1) for side in image.size)
    image = np.array(image.convert("RGB").crop((x, y, x + CROP, y + CROP)), np.float32) / 255
    return torch.tensor(image).permute(2, 0, 1), density_map(points - (x, y), (CROP, CROP), 4, stride=4)[None]


def main(folder=None, steps=60):
    torch.manual_seed(0)
    paths = sorted(Path(folder).glob("*.jpg")) if folder else [None]
    teacher, student = network(32), network(8)  # the student has 1/16 of the parameters
    transfer = StructuredKnowledgeTransfer((8, 16, 32), (32, 64, 128), profile="released")
    for trained in ([teacher], [student, transfer]):  # the teacher first, then the student from it
        optimizer = torch.optim.Adam([p for module in trained for p in module.parameters()], lr=1e-3)
        for _ in range(steps):
            images, targets = map(torch.stack, zip(*map(crop, random.choice(paths, 8)), strict=True))
            with torch.set_grad_enabled(teacher in trained), FeatureTaps(teacher, TAPS) as theirs:
                teacher_map = teacher(images)
            loss = (teacher_map - targets).square().sum()
            if student in trained:
                with FeatureTaps(student, TAPS) as ours:
                    student_map = student(images)
                loss = transfer(ours.features, theirs.features, student_map, teacher_map, targets).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield "student" if student in trained else "teacher", loss.item()


if __name__ == "__main__":
    for step, (model, loss) in enumerate(main(*sys.argv[1:])):
        print(f"step {step}, {model}: loss {loss:.1f}")
