"""The names that published checkpoints give to the layers of our models."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch


@dataclass(frozen=True, eq=False)
class KeyMap:
    """The names of layers in a published weights file, and ours.

    Attributes:
        source: whose names they are, for messages.
        model: the name of our model.
        layers: their module paths and ours; empty: they are the same.
        dropped: prefixes of names that belong to no layer of the model, such as what a student needs only in
            training.
    """

    source: str
    model: str
    layers: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @cached_property
    def _theirs(self) -> dict[str, str]:
        return {ours: theirs for theirs, ours in self.layers.items()}

    def their_name(self, name: str) -> str:
        """What the file calls our ``name``; a name with no counterpart stays.

        Example:
            >>> KeyMap("an example", "bl", {"features.0": "frontend.0"}).their_name("frontend.0.bias")
            'features.0.bias'
        """
        layer, _, parameter = name.rpartition(".")
        return f"{self._theirs.get(layer, layer)}.{parameter}"

    def our_names(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights under our names, without the dropped ones; a name with no counterpart stays."""
        renamed = {}
        for name, tensor in weights.items():
            if not name.startswith(self.dropped):
                layer, _, parameter = name.rpartition(".")
                renamed[f"{self.layers.get(layer, layer)}.{parameter}"] = tensor
        return renamed

    def likeness(self, found: Iterable[str], ours: Iterable[str]) -> float:
        """Share of names that a file and a model have in common among all names of either, from 0 to 1."""
        theirs = {self.their_name(name) for name in ours}
        names = {name for name in found if not name.startswith(self.dropped)}
        return len(theirs & names) / max(1, len(theirs | names))


_VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)

BAYESIAN_LOSS = KeyMap(
    "Bayesian Loss",
    "bl",
    {
        **{f"features.{index}": f"frontend.{index}" for index in _VGG19},
        "reg_layer.0": "regression.0",
        "reg_layer.2": "regression.2",
        "reg_layer.4": "output_layer",
    },
)

_VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)

_MEMBERS = (2, 3, 3, 2)  # features that refine each other, in each of the four modules

DSSINET = KeyMap(
    "DSSINet",
    "dssinet",
    {
        **{f"front_end.features.{index}": f"frontend.{index}" for index in _VGG16},
        **{f"front_end.features.relu{index + 1}": f"frontend.{index + 1}" for index in _VGG16},
        **{
            f"passing{level + 1}.w_0_{j}_{i}_0.0.conv": f"passings.{level}.messages.{j}_to_{i}"
            for level, members in enumerate(_MEMBERS)
            for i in range(members)
            for j in range(members)
            if i != j
        },
        **{f"passing{level + 1}.prelu": f"passings.{level}.prelu" for level in range(len(_MEMBERS))},
        **{f"decoder{5 - index}.0.conv": f"decoders.{index}.reduce" for index in range(5)},
        **{f"decoder{5 - index}.1.conv": f"decoders.{index}.output" for index in range(5)},
        **{f"passing_weight{4 - index}.conv": f"fusions.{index}" for index in range(4)},
        "prelu": "fusion_prelu",
    },
)

_PLACES = {0: 0, 2: 3, 4: 6, 5: 8}  # of the convolutions of a branch there, and of a column here

MCNN = KeyMap(
    "MCNN",
    "mcnn",
    {
        **{
            f"branch{branch + 1}.{theirs}.conv": f"columns.{branch}.{ours}"
            for branch in range(3)
            for theirs, ours in _PLACES.items()
        },
        "fuse.0.conv": "fuse",
    },
)

_FRONTEND = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))  # places of the convolutions of conv1 to conv4 here
_BACKEND = tuple(range(0, 12, 2))  # conv5

SKT_STUDENT = KeyMap(
    "SKT student",
    "csrnet",
    {
        **{
            f"conv{block}_{layer}.0": f"frontend.{place}"
            for block, places in enumerate(_FRONTEND)
            for layer, place in enumerate(places)
        },
        **{f"conv4_{layer}.0": f"backend.{place}" for layer, place in enumerate(_BACKEND)},
        "conv5_0": "output_layer",
    },
    dropped=("transform",),
)
