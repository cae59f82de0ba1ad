"""Density maps on disk, one HDF5 file for each image, for other tools that read them."""

import dataclasses
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from skt_crowd.data.samples import CrowdDataset
from skt_crowd.data.targets import TRUNCATE, Boundary, SigmaRule, make_density
from skt_crowd.errors import SktError, UsageError
from skt_crowd.files import write_bytes, write_json

MANIFEST = "manifest.json"
DENSITY = "density"

# The mark by which a file is known to be ours, and so may be overwritten.
_MAKER_KEY, _MAKER = "made_by", "skt prepare"


class PreparedMaps(NamedTuple):
    """What ``prepare_density_maps`` wrote."""

    output: Path
    images: int
    people: int  # points inside their images
    outside: int  # points dropped because they lie outside
    mass: float  # sum of all maps: `people` under "conserve", less under "clip"


class PreparedImage(NamedTuple):
    """Progress: one more image is on disk."""

    position: int  # in the data set, from 0
    name: str
    people: int


def prepare_density_maps(
    dataset: CrowdDataset,
    output: Path,
    *,
    sigma: SigmaRule,
    boundary: Boundary = "conserve",
    overwrite: bool = False,
    on_image: Callable[[PreparedImage], None] | None = None,
) -> PreparedMaps:
    """Write ``<name>.h5`` for every image of a data set, and ``manifest.json`` with the settings.

    Each file holds the dataset ``density``, (H, W) float32 people per pixel, gzip, and the attributes
    ``count`` (people in the image), ``outside``, ``boundary``, ``truncate`` and ``sigma`` (the rule, JSON).
    Files are written completely or not at all; the manifest comes last, so a folder without one is
    unfinished.

    Args:
        dataset: images and points.
        output: the folder, made if it is missing.
        sigma: the rule for the kernels' widths.
        boundary: ``"conserve"`` or ``"clip"``, as in ``skt_ext.density.density_map``.
        overwrite: replace files that an earlier call wrote. Others are never replaced.
        on_image: called after each image, for progress.

    Raises:
        UsageError: `boundary` is unknown.
        SktError: a file is in the way, an image can't be read, or the disk is full; names file and cause.
            Nothing is written where a file is in the way.
    """
    if boundary not in ("conserve", "clip"):
        raise UsageError(f"boundary: expected conserve or clip, got {boundary!r}")
    output = Path(output)
    _refuse_to_destroy(output, dataset.names, overwrite)
    settings = {
        _MAKER_KEY: _MAKER,
        "boundary": boundary,
        "truncate": TRUNCATE,
        "sigma": json.dumps(dataclasses.asdict(sigma)),
    }
    # An old manifest would describe files that are being replaced.
    (output / MANIFEST).unlink(missing_ok=True)
    counts: dict[str, int] = {}
    outside, mass = 0, 0.0
    for index, name in enumerate(dataset.names):
        sample = dataset[index]
        shape = sample.image.shape[0], sample.image.shape[1]
        widths = sigma.widths(sample.points)
        density = make_density(sample.points, widths, shape, boundary=boundary).numpy()
        attributes = {**settings, "count": len(sample.points), "outside": sample.outside}
        _write_map(output / f"{name}.h5", density, attributes)
        counts[name] = len(sample.points)
        outside += sample.outside
        mass += float(density.sum(dtype=np.float64))
        if on_image is not None:
            on_image(PreparedImage(index, name, len(sample.points)))
    manifest = {
        **settings,
        "sigma": dataclasses.asdict(sigma),
        "kind": dataset.kind,
        "people": sum(counts.values()),
        "outside": outside,
        "counts": counts,
    }
    write_json(output / MANIFEST, manifest)
    return PreparedMaps(output, len(counts), sum(counts.values()), outside, mass)


def _write_map(path: Path, density: np.ndarray, attributes: dict[str, Any]) -> None:
    # HDF5 is built in memory, where a full disk can't break it half-way.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(DENSITY, data=density, compression="gzip", compression_opts=4, shuffle=True)
        file.attrs.update(attributes)
    write_bytes(path, buffer.getbuffer())


def _refuse_to_destroy(output: Path, names: Sequence[str], overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise SktError(f"{output}: is a file, expected a folder for the maps")
    for name in names:
        if name in ("", ".", "..") or any(mark in name for mark in {"/", os.sep, "\0"}):
            raise SktError(f"{name!r}: not an image's name that a file can have")
    for path in (output / MANIFEST, *(output / f"{name}.h5" for name in names)):
        if not path.exists():
            continue
        if not _is_ours(path):
            raise SktError(f"{path}: exists and was not made by {_MAKER}; choose another folder")
        if not overwrite:
            raise SktError(f"{path}: exists already; allow overwriting or choose another folder")


def _is_ours(path: Path) -> bool:
    try:
        if path.name == MANIFEST:
            content = json.loads(path.read_text(encoding="utf-8"))
            return isinstance(content, dict) and content.get(_MAKER_KEY) == _MAKER
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get(_MAKER_KEY) == _MAKER)
    except (OSError, ValueError):  # unreadable, so not known to be ours
        return False
