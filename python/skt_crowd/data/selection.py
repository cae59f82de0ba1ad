"""The images of a recipe: those that are trained on, and those that choose the best checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from skt_crowd.data.crops import TrainingCrops
from skt_crowd.data.factory import open_dataset
from skt_crowd.data.samples import CrowdDataset
from skt_crowd.data.targets import Boundary, SigmaRule
from skt_crowd.data.visibility import VisibilityRule
from skt_crowd.errors import UsageError
from skt_crowd.settings import Settings


def hold_out(names: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split images into (train, held out) index lists, by their names and a seed alone.

    Names are ranked by SHA-256 of seed and name, and the first round(fraction * n) are held out, at least
    one where `fraction` is above zero. So the choice does not depend on the order of the names, on the
    platform or on a library's random numbers, and most of it stays when images are added.

    Args:
        names: unique.
        fraction: 0 up to, but not including, 1.
        seed: any number.

    Returns:
        Two sorted lists of indices into `names`, disjoint, together all of them.

    Raises:
        UsageError: a fraction out of range, a name that occurs twice, or nothing left to train on.

    Example:
        >>> hold_out(["a", "b", "c", "d"], 0.25, seed=0)
        ([0, 1, 2], [3])
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"held-out fraction: expected 0 <= fraction < 1, got {fraction}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"names: {twice!r} occurs more than once")
    count = max(1, round(fraction * len(names))) if fraction > 0 else 0
    if count >= len(names):
        raise UsageError(f"held-out fraction: {fraction} of {len(names)} images leaves none to train on")
    ranked = sorted(range(len(names)), key=lambda index: _rank(names[index], seed))
    return sorted(ranked[count:]), sorted(ranked[:count])


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


@dataclass(frozen=True)
class Selection:
    """Images that choose a checkpoint, and their description for people."""

    dataset: CrowdDataset
    indices: Sequence[int]
    description: str


class DataSettings(Settings):
    """Images with points, their split into training and selection, and how crops are made."""

    kind: Literal["shanghaitech", "ucf_cc_50", "ucf_qnrf", "mall", "beijing_brt", "folder", "synthetic"]
    # The folder of the data set; synthetic crowds have none.
    root: str | None = None
    split: str = "train"
    # Part of the split that chooses the best checkpoint and is not trained on; 0: everything is trained on.
    held_out_fraction: float = Field(default=0.1, ge=0, lt=1)
    held_out_seed: int = Field(default=0, ge=0)
    # Another split that chooses the best checkpoint. A test split flatters the result; the report says so.
    selection_split: str | None = None
    crop: int = Field(default=320, ge=8)
    flip_probability: float = Field(default=0.5, ge=0, le=1)
    boundary: Boundary = "conserve"
    sigma: SigmaRule = SigmaRule()
    # Options of the kind: {part: A} for shanghaitech, {length: 64, height: 128, ...} for synthetic.
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_selection(self) -> DataSettings:
        if self.selection_split is not None and self.held_out_fraction > 0:
            raise ValueError(
                "give held_out_fraction or selection_split, not both: set held_out_fraction to 0"
            )
        return self

    def open(self, split: str) -> CrowdDataset:
        """One split of the data."""
        root = Path(self.root) if self.root is not None else None
        return open_dataset(self.kind, root, split=split, **self.options)

    def open_for_training(
        self, *, seed: int, stride: int, visibility: VisibilityRule | None
    ) -> tuple[TrainingCrops, Selection | None]:
        """Crops to train on, and the selection images, if any.

        Args:
            seed: of the crops.
            stride: the model's output stride, pixels.
            visibility: who is visible in a crop, for a loss that compares with points.

        Raises:
            UsageError: there is no such split, or it is too small to hold anything out.
            SktError: the data on the disk cannot be used.
        """
        dataset = self.open(self.split)
        training: Sequence[int] = range(len(dataset))
        selection: Selection | None = None
        if self.selection_split is not None:
            other = self.open(self.selection_split)
            selection = Selection(
                other, range(len(other)), f"all {len(other)} images of split {self.selection_split}"
            )
        elif self.held_out_fraction > 0:
            training, chosen = hold_out(dataset.names, self.held_out_fraction, self.held_out_seed)
            text = f"{len(chosen)} held-out images of the {len(dataset)} of split {self.split}"
            selection = Selection(dataset, chosen, f"{text} (seed {self.held_out_seed})")
        crops = TrainingCrops(
            dataset,
            training,
            crop=self.crop,
            flip_probability=self.flip_probability,
            seed=seed,
            stride=stride,
            sigma=self.sigma,
            boundary=self.boundary,
            visibility=visibility,
        )
        return crops, selection
