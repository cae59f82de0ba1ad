"""Checkpoints of the authors of DSSINet, whose decoders and fusions are numbered from the coarsest to the finest."""

from skt_crowd.models.importing.key_map import KeyMap

_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
_MEMBERS = (2, 3, 3, 2)  # features that refine each other, in each of the four modules

KEY_MAP = KeyMap(
    "DSSINet",
    "dssinet",
    {
        **{f"front_end.features.{index}": f"frontend.{index}" for index in _CONVOLUTIONS},
        **{f"front_end.features.relu{index + 1}": f"frontend.{index + 1}" for index in _CONVOLUTIONS},
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
