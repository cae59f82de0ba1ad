"""Tiny data sets on disk, in the layouts of the real ones."""

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image


def write_image(path: Path, height: int = 6, width: int = 8, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, **options)


def write_image_info(path: Path, points, *, number=None) -> None:
    """A ShanghaiTech annotation."""
    points = np.asarray(points)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    record["location"][0, 0] = points
    record["number"][0, 0] = np.array([[len(points) if number is None else number]], np.uint8)
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = record
    scipy.io.savemat(path, {"image_info": cell})


def write_ann_points(path: Path, points) -> None:
    """A UCF_CC_50 annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"annPoints": points})


def write_shanghaitech(
    split_folder: Path, points_by_name: dict[str, list], *, annotations: str = "ground-truth"
) -> None:
    for name, points in points_by_name.items():
        write_image(split_folder / "images" / f"{name}.jpg")
        write_image_info(
            split_folder / annotations / f"GT_{name}.mat", np.array(points, np.float64).reshape(-1, 2)
        )


def write_mall(
    root: Path, frames: list[list], *, first: int = 1, roi=None, weights=None, height: int = 6, width: int = 8
) -> None:
    """Mall with annotations for frames 1, 2, ... and images from frame `first` on."""
    cells = np.empty((1, len(frames)), dtype=object)
    for index, points in enumerate(frames):
        record = np.empty((1, 1), dtype=[("loc", object)])
        record["loc"][0, 0] = np.asarray(points, np.float64).reshape(-1, 2)
        cells[0, index] = record
    root.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / "mall_gt.mat", {"frame": cells})
    mask = np.ones((height, width), np.uint8) if roi is None else np.asarray(roi)
    scene = {"roi": {"mask": mask}, "pMapN": np.ones((height, width)) if weights is None else weights}
    scipy.io.savemat(root / "perspective_roi.mat", scene)
    for number in range(first, len(frames) + 1):
        write_image(root / f"frames/seq_{number:06d}.jpg", height, width)


def write_brt(root: Path, points_by_name: dict[str, list], *, split: str = "train", dtype="float64") -> None:
    """Beijing-BRT with images of 8 x 6 pixels."""
    for name, points in points_by_name.items():
        write_image(root / split / f"frame/{name}.jpg")
        (root / split / "ground_truth").mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / split / f"ground_truth/{name}.mat", {"loc": np.array(points, dtype)})
    scipy.io.savemat(root / "pMapN.mat", {"pMapN": np.full((6, 8), 4.0)})
