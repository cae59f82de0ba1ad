"""Mall (Chen et al., BMVC 2012): 2,000 frames of one camera above a shopping street."""

import re
from pathlib import Path

import numpy as np

from skt_crowd.data.readers.annotated_images import AnnotatedImages, existing_root, list_images
from skt_crowd.data.readers.matlab import read_frame_points, read_perspective_weights, read_roi_mask
from skt_crowd.errors import SktError

TRAINING_FRAMES = 800

# pMapN is proportional to 1 / area and has no unit. Standing people, taken as 1.7 m tall, measure about 115
# pixels times 1 / sqrt(pMapN) in the frames, so a metre is this many pixels where pMapN is 1.
_METRE = 68.0


class Mall(AnnotatedImages):
    """Mall: ``frames/seq_000001.jpg`` ..., ``mall_gt.mat`` and ``perspective_roi.mat``.

    The first 800 frames are the training split, the other 1,200 the test split, as in the paper. Frames that
    are not on the disk are left out. Each sample carries the region of interest and a perspective map; the
    file's map is relative, and its scale was estimated from the heights of people in the frames.

    Args:
        root: the folder that holds these three.
        split: ``"train"`` or ``"test"``.

    Raises:
        UsageError: an unknown split.
        SktError: a folder or file is missing, a frame has no annotation, or the split has no frame here.
    """

    kind = "mall"

    def __init__(self, root: Path, *, split: str = "train") -> None:
        root = existing_root(root, split)
        points = read_frame_points(root / "mall_gt.mat")
        self.roi = read_roi_mask(root / "perspective_roi.mat")
        self.perspective = _METRE / np.sqrt(read_perspective_weights(root / "perspective_roi.mat"))
        chosen = []
        for path in list_images(root / "frames").values():
            number = _frame_number(path)
            if number > len(points):
                raise SktError(f"{path}: mall_gt.mat ends with frame {len(points)}")
            if (number <= TRAINING_FRAMES) == (split == "train"):
                chosen.append(path)
        if not chosen:
            which = (
                f"1 to {TRAINING_FRAMES}" if split == "train" else f"{TRAINING_FRAMES + 1} to {len(points)}"
            )
            raise SktError(f"{root / 'frames'}: none of the {split} split's frames, {which}")
        super().__init__(chosen)
        # Only the points that are used, so that a copy for another process is small.
        self._points = [points[_frame_number(path) - 1] for path in self._images]

    def annotated_points(self, index: int) -> np.ndarray:
        return self._points[index]


def _frame_number(path: Path) -> int:
    match = re.fullmatch(r"seq_0*([1-9]\d*)", path.stem)
    if match is None:
        raise SktError(f"{path}: expected Mall's names of frames, seq_000001.jpg")
    return int(match[1])
