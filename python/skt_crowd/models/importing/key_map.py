"""How a published checkpoint calls the layers of a counter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch


@dataclass(frozen=True, eq=False)
class KeyMap:
    """Names of layers in somebody's weights file and here.

    source   whose names they are, for messages
    model    the counter's name here
    layers   their module paths and ours; empty: theirs are ours
    dropped  beginnings of names that belong to no layer of the counter, such as what a student needs only in training
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
