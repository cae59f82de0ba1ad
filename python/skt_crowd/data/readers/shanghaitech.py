"""ShanghaiTech Part A and Part B (Zhang et al., CVPR 2016), in the layouts they are distributed in."""

from pathlib import Path

import numpy as np

from skt_crowd.data.readers.annotated_images import (
    AnnotatedImages,
    list_files,
    list_images,
    match_annotations,
)
from skt_crowd.data.readers.matlab import read_image_info_points
from skt_crowd.errors import SktError, UsageError

_PARTS = {"A": ("part_A", "part_A_final"), "B": ("part_B", "part_B_final")}
_SPLITS = {"train": "train_data", "test": "test_data"}
_ANNOTATIONS = ("ground-truth", "ground_truth")


class ShanghaiTech(AnnotatedImages):
    """One split of ShanghaiTech Part A (300 / 182 images) or Part B (400 / 316).

    ``images/IMG_1.jpg`` belongs to ``ground-truth/GT_IMG_1.mat`` (or ``ground_truth``).

    Args:
        root: the data set (holding ``part_A`` or ``part_A_final`` ...), one part (holding ``train_data`` and
            ``test_data``), or one split (holding ``images``).
        split: ``"train"`` or ``"test"``.
        part: ``"A"`` or ``"B"``; needed where `root` holds both.

    Raises:
        UsageError: an unknown split or part, or one that `root` contradicts.
        SktError: a folder or file is missing, or an image or annotation has no counterpart.
    """

    kind = "shanghaitech"

    def __init__(self, root: Path, *, split: str = "train", part: str | None = None) -> None:
        folder = _split_folder(Path(root), split, part)
        images = list_images(folder / "images")
        annotations = {
            path.stem.removeprefix("GT_"): path for path in list_files(_annotation_folder(folder), {".mat"})
        }
        match_annotations(images, annotations, "GT_{}.mat")
        super().__init__(images.values())
        self._annotations = [annotations[name] for name in self.names]

    def annotated_points(self, index: int) -> np.ndarray:
        return read_image_info_points(self._annotations[index])


def _split_folder(root: Path, split: str, part: str | None) -> Path:
    if split not in _SPLITS:
        raise UsageError(f"split: expected one of {', '.join(_SPLITS)}, got {split!r}")
    if part is not None and part not in _PARTS:
        raise UsageError(f"part: expected A or B, got {part!r}")
    if not root.is_dir():
        raise SktError(f"{root}: no such folder")
    if (root / "images").is_dir():
        _refuse_other(root, split, part)
        return root
    parts = _parts_below(root)
    if parts:
        root = _chosen_part(root, parts, part)
    else:
        _refuse_other_part(root, part)
    folder = root / _SPLITS[split]
    if not folder.is_dir():
        raise SktError(
            f"{root}: no folder {_SPLITS[split]}; expected ShanghaiTech (part_A/{_SPLITS[split]}/images), "
            "one of its parts, or one of its splits"
        )
    return folder


def _parts_below(root: Path) -> dict[str, Path]:
    return {part: root / name for part, names in _PARTS.items() for name in names if (root / name).is_dir()}


def _chosen_part(root: Path, parts: dict[str, Path], part: str | None) -> Path:
    if part is None:
        if len(parts) > 1:
            raise UsageError(f"{root}: holds parts A and B; say which with part")
        return next(iter(parts.values()))
    if part not in parts:
        raise SktError(f"{root}: no folder {' or '.join(_PARTS[part])}")
    return parts[part]


def _refuse_other(split_folder: Path, split: str, part: str | None) -> None:
    """Refuse a folder whose own name is the other split or the other part."""
    other = next(name for key, name in _SPLITS.items() if key != split)
    if split_folder.resolve().name == other:
        raise UsageError(f"{split_folder}: is {other}, but the split asked for is {split!r}")
    _refuse_other_part(split_folder.resolve().parent, part)


def _refuse_other_part(part_folder: Path, part: str | None) -> None:
    for known, names in _PARTS.items():
        if part is not None and part != known and part_folder.resolve().name in names:
            raise UsageError(f"{part_folder}: is part {known}, but the part asked for is {part}")


def _annotation_folder(split_folder: Path) -> Path:
    for name in _ANNOTATIONS:
        if (split_folder / name).is_dir():
            return split_folder / name
    raise SktError(f"{split_folder}: no folder {' or '.join(_ANNOTATIONS)} beside images")
