"""What all data sets on disk share: image files, each with its points."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from skt_crowd.data.images import IMAGE_SUFFIXES, read_image
from skt_crowd.data.samples import CrowdSample
from skt_crowd.errors import SktError, UsageError


class AnnotatedImages(ABC):
    """A crowd data set of image files, in natural order of their names (IMG_2 before IMG_10).

    A sample's name is its file's name without the suffix. A data set of one fixed camera has a region of
    interest, a perspective map or both, which each of its samples then carries.
    """

    kind: ClassVar[str]
    roi: np.ndarray | None = None  # (H, W) bool
    perspective: np.ndarray | None = None  # (H, W) float64, pixels per metre

    def __init__(self, images: Iterable[Path]) -> None:
        self._images = sorted(images, key=lambda path: natural_order(path.name))
        self.names = [path.stem for path in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> CrowdSample:
        image = read_image(self._images[index])
        height, width = image.shape[:2]
        for name, plane in (("region of interest", self.roi), ("perspective map", self.perspective)):
            if plane is not None and plane.shape != (height, width):
                raise SktError(
                    f"{self._images[index]}: {height} x {width} pixels (H x W), but the data set's {name} is "
                    f"{plane.shape[0]} x {plane.shape[1]}"
                )
        points, outside = drop_outside(self.annotated_points(index), height, width, self.roi)
        return CrowdSample(self.names[index], image, points, outside, self.roi, self.perspective)

    def image_path(self, index: int) -> Path:
        return self._images[index]

    @abstractmethod
    def annotated_points(self, index: int) -> np.ndarray:
        """All points of an image as annotated, (P, 2) float64 [x, y], those outside the image included."""


def existing_root(root: Path, split: str, splits: Iterable[str] = ("train", "test")) -> Path:
    """The folder of a data set with these splits.

    Raises:
        UsageError: the split is not one of them.
        SktError: there is no such folder.
    """
    if split not in splits:
        raise UsageError(f"split: expected one of {', '.join(splits)}, got {split!r}")
    root = Path(root)
    if not root.is_dir():
        raise SktError(f"{root}: no such folder")
    return root


def list_images(folder: Path) -> dict[str, Path]:
    """The images directly inside `folder` by their names without suffix; hidden files are skipped.

    Raises:
        SktError: there is none, or two share a name and differ only in their suffix.
    """
    images: dict[str, Path] = {}
    for path in list_files(folder, IMAGE_SUFFIXES):
        if path.stem in images:
            raise SktError(
                f"{folder}: {images[path.stem].name} and {path.name} would both be named {path.stem}"
            )
        images[path.stem] = path
    if not images:
        raise SktError(f"{folder}: no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images


def list_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files directly inside `folder` with one of these lower-case suffixes, sorted by name."""
    wanted = set(suffixes)
    try:
        files = [path for path in folder.iterdir() if path.suffix.lower() in wanted]
    except OSError as error:
        raise SktError(f"{folder}: cannot list the folder: {error.strerror}") from error
    return sorted(path for path in files if not path.name.startswith(".") and path.is_file())


def match_annotations(images: Mapping[str, Path], annotations: Mapping[str, Path], pattern: str) -> None:
    """Check that every image has an annotation, and every annotation an image.

    Args:
        images: image files by name.
        annotations: annotation files by the name of the image they belong to.
        pattern: an annotation's file name, with ``{}`` or ``{0}`` for the image's name; for the message.

    Raises:
        SktError: naming the first file without its counterpart, and how many more there are.
    """
    bare = sorted(images.keys() - annotations.keys(), key=natural_order)
    if bare:
        raise SktError(f"{images[bare[0]]}: no annotation {pattern.format(bare[0])}{_and_more(bare)}")
    orphans = sorted(annotations.keys() - images.keys(), key=natural_order)
    if orphans:
        raise SktError(f"{annotations[orphans[0]]}: no image {orphans[0]} for it{_and_more(orphans)}")


def natural_order(name: str) -> list[str | int]:
    """Sort key that compares numbers inside names as numbers.

    Example:
        >>> sorted(["IMG_10", "IMG_9"], key=natural_order)
        ['IMG_9', 'IMG_10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more like it)" if len(names) > 1 else ""


def drop_outside(
    points: np.ndarray, height: int, width: int, roi: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """The points (P, 2) with 0 <= x < width and 0 <= y < height that lie inside the roi, and how many do not.

    Args:
        roi: (height, width) bool, True where people are counted; None for the whole image.

    Example:
        >>> drop_outside(np.array([[0.0, 0.0], [4.0, 1.0]]), height=2, width=4)
        (array([[0., 0.]]), 1)
    """
    x, y = points[:, 0], points[:, 1]
    kept = points[(x >= 0) & (x < width) & (y >= 0) & (y < height)]
    if roi is not None:
        column, row = kept.astype(np.int64).T
        kept = kept[roi[row, column]]
    return kept, len(points) - len(kept)
