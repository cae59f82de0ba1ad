"""UCF-QNRF (Idrees et al., ECCV 2018): large images, up to 12,865 people in one."""

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
from skt_crowd.errors import SktError

_SPLITS = {"train": "Train", "test": "Test"}


class UcfQnrf(AnnotatedImages):
    """One split of UCF-QNRF (1,201 / 334 images): ``Train/img_0001.jpg`` and ``img_0001_ann.mat`` beside it.

    A few points lie just outside their images and are dropped. The usual sigmas are those of
    ``SigmaRule(beta=1, neighbors=1, maximum=30)``: the distance to the nearest neighbour, capped.

    Args:
        root: the data set, holding ``Train`` and ``Test``.
        split: ``"train"`` or ``"test"``.

    Raises:
        UsageError: an unknown split.
        SktError: a folder or file is missing, or an image or annotation has no counterpart.
    """

    kind = "ucf_qnrf"

    def __init__(self, root: Path, *, split: str = "train") -> None:
        root = existing_root(root, split)
        folder = root / _SPLITS[split]
        if not folder.is_dir():
            raise SktError(f"{root}: no folder {_SPLITS[split]}; expected UCF-QNRF (Train/img_0001.jpg)")
        images = list_images(folder)
        annotations = {path.stem.removesuffix("_ann"): path for path in list_files(folder, {".mat"})}
        match_annotations(images, annotations, "{}_ann.mat")
        super().__init__(images.values())
        self._annotations = [annotations[name] for name in self.names]

    def annotated_points(self, index: int) -> np.ndarray:
        return read_ann_points(self._annotations[index])
