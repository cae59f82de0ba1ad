"""Beijing-BRT (Ding et al., 2018): bus stops seen from above, 720 training and 560 test images."""

from pathlib import Path

import numpy as np

from skt_crowd.data.readers.annotated_images import (
    AnnotatedImages,
    existing_root,
    list_files,
    list_images,
    match_annotations,
)
from skt_crowd.data.readers.matlab import read_loc_points, read_perspective_weights
from skt_crowd.errors import SktError

# As for Mall: standing people measure about 217 pixels times 1 / sqrt(pMapN), and are taken as 1.7 m tall.
_METRE = 128.0


class BeijingBrt(AnnotatedImages):
    """Beijing-BRT: ``train/frame/*.jpg``, ``train/ground_truth/*.mat`` (``test`` alike), and ``pMapN.mat``.

    The annotations hold points outside the 360 x 640 images, among them (402.5, 702.5), which marks nobody;
    they are dropped. Each sample carries a perspective map; the file's map is relative, and its scale was
    estimated from the heights of people in the images. There is no region of interest.

    Args:
        root: the folder that holds ``train``, ``test`` and ``pMapN.mat``.
        split: ``"train"`` or ``"test"``.

    Raises:
        UsageError: an unknown split.
        SktError: a folder or file is missing, or an image or annotation has no counterpart.
    """

    kind = "beijing_brt"

    def __init__(self, root: Path, *, split: str = "train") -> None:
        root = existing_root(root, split)
        if not (root / split).is_dir():
            raise SktError(f"{root}: no folder {split}; expected Beijing-BRT ({split}/frame, pMapN.mat)")
        self.perspective = _METRE / np.sqrt(read_perspective_weights(root / "pMapN.mat"))
        images = list_images(root / split / "frame")
        annotations = {path.stem: path for path in list_files(root / split / "ground_truth", {".mat"})}
        match_annotations(images, annotations, "{}.mat")
        super().__init__(images.values())
        self._annotations = [annotations[name] for name in self.names]

    def annotated_points(self, index: int) -> np.ndarray:
        return read_loc_points(self._annotations[index])
