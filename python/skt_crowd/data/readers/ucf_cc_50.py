"""UCF_CC_50 (Idrees et al., CVPR 2013): fifty images, evaluated by five-fold cross-validation."""

from pathlib import Path

import numpy as np

from skt_crowd.data.readers.annotated_images import (
    AnnotatedImages,
    existing_root,
    list_files,
    list_images,
    match_annotations,
)
from skt_crowd.data.readers.matlab import read_ann_points
from skt_crowd.errors import SktError, UsageError

_FOLDS = 5
_IMAGES = 50


class UcfCc50(AnnotatedImages):
    """UCF_CC_50: ``1.jpg`` to ``50.jpg`` with ``1_ann.mat`` to ``50_ann.mat`` beside them.

    There is no official split. Fold k of the usual five tests on images 10 (k - 1) + 1 to 10 k and trains on
    the other forty; without a fold, the training split is all fifty images and there is no test split.

    Args:
        root: the folder of the images.
        split: ``"train"`` or ``"test"``.
        fold: 1 to 5, or None.

    Raises:
        UsageError: an unknown split or fold, or a test split without a fold.
        SktError: a folder or file is missing, or an image or annotation has no counterpart.
    """

    kind = "ucf_cc_50"

    def __init__(self, root: Path, *, split: str = "train", fold: int | None = None) -> None:
        root = existing_root(root, split)
        if fold is not None and fold not in range(1, _FOLDS + 1):
            raise UsageError(f"fold: expected 1 to {_FOLDS}, got {fold!r}")
        if fold is None and split == "test":
            raise UsageError(f"UCF_CC_50 has no test split of its own; choose a fold, 1 to {_FOLDS}")
        images = list_images(root)
        annotations = {path.stem.removesuffix("_ann"): path for path in list_files(root, {".mat"})}
        match_annotations(images, annotations, "{}_ann.mat")
        if fold is not None:
            images = _of_fold(images, fold, split, root)
        super().__init__(images.values())
        self._annotations = [annotations[name] for name in self.names]

    def annotated_points(self, index: int) -> np.ndarray:
        return read_ann_points(self._annotations[index])


def _of_fold(images: dict[str, Path], fold: int, split: str, root: Path) -> dict[str, Path]:
    if set(images) != {str(number) for number in range(1, _IMAGES + 1)}:
        raise SktError(f"{root}: folds need the images 1.jpg to {_IMAGES}.jpg and no others")
    size = _IMAGES // _FOLDS
    tested = {str(number) for number in range(size * (fold - 1) + 1, size * fold + 1)}
    return {name: path for name, path in images.items() if (name in tested) == (split == "test")}
