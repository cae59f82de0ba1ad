"""MCNN as published in HDF5: three branches, whose layers are counted without their ReLUs."""

from skt_crowd.models.importing.key_map import KeyMap

_PLACES = {0: 0, 2: 3, 4: 6, 5: 8}  # of the convolutions of a branch there, and of a column here

KEY_MAP = KeyMap(
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
