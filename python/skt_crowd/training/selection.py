"""The images of a recipe: which train, and which choose the best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skt_crowd.data import CrowdDataset, PresenceRule, SigmaRule, TrainingCrops, hold_out, open_dataset
from skt_crowd.recipes.recipe import DataSettings, LossSettings, Recipe


@dataclass(frozen=True)
class Selection:
    """Images that choose a checkpoint, and how to say which they are."""

    dataset: CrowdDataset
    indices: Sequence[int]
    description: str


def open_split(data: DataSettings, split: str) -> CrowdDataset:
    """One split of the recipe's data."""
    root = Path(data.root) if data.root is not None else None
    return open_dataset(data.kind, root, split=split, **data.options)


def open_training_data(recipe: Recipe, stride: int) -> tuple[TrainingCrops, Selection | None]:
    """Crops to train on, with points where the loss needs them, and the selection images, if any.

    Raises:
        UsageError: no such split, or one too small to hold anything out.
        SktError: the data on the disk is at fault.
    """
    data = recipe.data
    dataset = open_split(data, data.split)
    everything = range(len(dataset))
    selection: Selection | None = None
    training: Sequence[int] = everything
    if data.selection_split is not None:
        other = open_split(data, data.selection_split)
        selection = Selection(
            other, range(len(other)), f"all {len(other)} images of split {data.selection_split}"
        )
    elif data.held_out_fraction > 0:
        training, chosen = hold_out(dataset.names, data.held_out_fraction, data.held_out_seed)
        text = f"{len(chosen)} held-out images of the {len(dataset)} of split {data.split}"
        selection = Selection(dataset, chosen, f"{text} (seed {data.held_out_seed})")
    crops = TrainingCrops(
        dataset,
        training,
        crop=data.crop,
        flip_probability=data.flip_probability,
        seed=recipe.training.seed,
        stride=stride,
        sigma=SigmaRule(**data.sigma.model_dump()),
        boundary=data.boundary,
        presence=_presence(recipe.loss),
    )
    return crops, selection


def _presence(loss: LossSettings) -> PresenceRule | None:
    """Who is in a crop, for the loss that asks; None for the others."""
    if loss.kind != "bayesian":
        return None
    rule = loss.bayesian
    return PresenceRule(
        scale=rule.box_scale,
        smallest=rule.smallest_box,
        largest=rule.largest_box,
        least=rule.least_share,
        whole=rule.counts_as == "one",
    )
