"""Density maps in HDF5 files, with what is needed to tell later whether they are still up to date."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from skt_crowd.files import write_bytes

DENSITY = "density"  # the dataset's name in the files of the seeds' scripts


# The mark by which a file is known to be ours, and so may be replaced.
MAKER_KEY, MAKER = "made_by", "skt prepare"


class MapRecord(NamedTuple):
    """What is known of one map; stored with it as HDF5 attributes, and in the manifest."""

    height: int
    width: int
    people: int  # points inside the image and its region of interest
    outside: int  # annotated points that are not
    sum: float  # of the map, added up in float64
    image_sha256: str  # of the image file's bytes; of the pixels where there is no file
    points_sha256: str  # of the points inside, (P, 2) float64, little-endian
    scene_sha256: str  # of the region of interest and the perspective map; "" where there is neither
    density_sha256: str  # of the map, (H, W) float32, little-endian

    @property
    def inputs(self) -> tuple[str, str, str]:
        """What the map was made from; another image or point gives another."""
        return self.image_sha256, self.points_sha256, self.scene_sha256


def sha256_of(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes in C order, little-endian."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def write_map(path: Path, density: np.ndarray, record: MapRecord, settings: str) -> None:
    """Write ``density`` (H, W) float32 and its record to a file of its own, completely or not at all.

    Raises:
        SktError: the file cannot be written.
    """
    # HDF5 is built in memory, where a full disk cannot break it half-way.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(DENSITY, data=density, compression="gzip", compression_opts=1, shuffle=True)
        file.attrs.update({MAKER_KEY: MAKER, "settings": settings, **record._asdict()})
    write_bytes(path, buffer.getbuffer())


def read_record(group: h5py.Group, settings: str) -> MapRecord | None:
    """The record of a map, or None where it is damaged or was made with other settings.

    Args:
        group: a file of one map, or an image's group in a file of many.
        settings: of the map that is wanted, JSON.
    """
    try:
        if json.loads(group.attrs["settings"]) != json.loads(settings):
            return None
        record = MapRecord(*(_plain(group.attrs[name]) for name in MapRecord._fields))
        density = group[DENSITY][()]
    except (KeyError, OSError, TypeError, ValueError):
        return None
    whole = density.shape == (record.height, record.width) and sha256_of(density) == record.density_sha256
    return record if whole else None


def is_ours(path: Path) -> bool | None:
    """Whether a file has our mark; None where it is not readable as HDF5, so that nobody can tell."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get(MAKER_KEY) == MAKER)
    except (OSError, ValueError):
        return None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
