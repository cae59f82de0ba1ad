"""Your own images: a folder of images and the points of their people in CSV or JSON files."""

from pathlib import Path

import numpy as np

from skt_crowd.data.readers.annotated_images import (
    AnnotatedImages,
    list_files,
    list_images,
    match_annotations,
)
from skt_crowd.data.readers.point_files import read_points_csv, read_points_json, read_shared_points_csv
from skt_crowd.errors import SktError, UsageError

SHARED_POINTS = "points.csv"


class ImageFolder(AnnotatedImages):
    """A folder of images whose points are in one CSV file for all, or in one CSV or JSON file for each.

    One file for all, ``points.csv`` in the folder; an image without people has a line with empty fields::

        image,x,y
        street.jpg,118.5,64
        street.jpg,131,70.25
        empty.jpg,,

    Or one file for each, beside the image: ``street.csv`` with a header ``x,y`` and one line for each
    person, or ``street.json`` with ``[[x, y], ...]`` or ``{"points": [[x, y], ...]}``. An image without
    people has a CSV of just the header, or ``[]``.

    Coordinates are pixels from the top left corner of the image **as viewers and annotation tools show
    it**, that is after its EXIF rotation. Points outside the image are dropped and counted. An image that
    no points file mentions is an error: whether it is empty or was never annotated cannot be told.

    Args:
        root: the folder; or a folder holding one folder for each split, ``root/train``, ``root/test`` ...
        split: the folder below `root` to use, where there are such folders. A root with images in it
            directly is the same for every split.

    Raises:
        UsageError: `split` is not the name of a folder.
        SktError: a folder or file is missing, unreadable, or without its counterpart; the message names file
            and line.
    """

    kind = "folder"

    def __init__(self, root: Path, *, split: str = "train") -> None:
        folder = _split_folder(Path(root), split)
        images = list_images(folder)
        shared = folder / SHARED_POINTS
        self._points = _shared_points(shared, images) if shared.is_file() else _own_points(folder, images)
        super().__init__(images.values())

    def annotated_points(self, index: int) -> np.ndarray:
        return self._points[self.names[index]]


def _split_folder(root: Path, split: str) -> Path:
    if split != Path(split).name:
        raise UsageError(f"split: expected the name of a folder below {root}, got {split!r}")
    if not root.is_dir():
        raise SktError(f"{root}: no such folder")
    if (root / split).is_dir():
        return root / split
    if any((root / other).is_dir() for other in ("train", "test")):
        raise SktError(f"{root}: no folder {split}")
    return root


def _shared_points(shared: Path, images: dict[str, Path]) -> dict[str, np.ndarray]:
    """Points by name from one file for all images, which must be the only one and mention each of them."""
    beside = [path for name, path in _annotations_beside(shared.parent).items() if name in images]
    if beside:
        raise SktError(
            f"{shared}: there is {beside[0].name} too; keep one file for all or one for each image"
        )
    names = {path.name: name for name, path in images.items()}
    points: dict[str, np.ndarray] = {}
    for file_name, (positions, line) in read_shared_points_csv(shared).items():
        if file_name not in names:
            raise SktError(f"{shared}, line {line}: no image {file_name} in {shared.parent}")
        points[names[file_name]] = positions
    silent = [path.name for name, path in images.items() if name not in points]
    if silent:
        more = f" (and {len(silent) - 1} more images)" if len(silent) > 1 else ""
        raise SktError(f"{shared}: no line for {silent[0]}{more}; if nobody is in it, add '{silent[0]},,'")
    return points


def _own_points(folder: Path, images: dict[str, Path]) -> dict[str, np.ndarray]:
    annotations = _annotations_beside(folder)
    match_annotations(images, annotations, f"{{0}}.csv or {{0}}.json, and no {SHARED_POINTS}")
    return {
        name: read_points_csv(path) if path.suffix.lower() == ".csv" else read_points_json(path)
        for name, path in annotations.items()
    }


def _annotations_beside(folder: Path) -> dict[str, Path]:
    annotations: dict[str, Path] = {}
    for path in list_files(folder, {".csv", ".json"}):
        if path.name == SHARED_POINTS:
            continue
        if path.stem in annotations:
            raise SktError(
                f"{folder}: {annotations[path.stem].name} and {path.name} both annotate {path.stem}"
            )
        annotations[path.stem] = path
    return annotations
