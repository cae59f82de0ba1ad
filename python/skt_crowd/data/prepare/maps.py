"""Write the density maps of a whole data set for other tools, and contact sheets to check them."""

import dataclasses
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import h5py
import numpy as np
import torch
from pydantic import Field

from skt_crowd.data.prepare.contact_sheet import (
    SheetImage,
    SheetLayout,
    draw_page,
    page_key,
    save_page,
    sheet_layout,
)
from skt_crowd.data.prepare.map_files import (
    DENSITY,
    MAKER,
    MAKER_KEY,
    MapRecord,
    is_ours,
    read_record,
    sha256_of,
    write_map,
)
from skt_crowd.data.prepare.processes import Processes
from skt_crowd.data.samples import CrowdDataset, CrowdSample
from skt_crowd.data.targets import TRUNCATE, Boundary, SigmaRule, make_density
from skt_crowd.errors import SktError, UsageError, one_line
from skt_crowd.files import atomic_write, write_json
from skt_crowd.settings import Settings

Layout = Literal["images", "split"]

MANIFEST = "manifest.json"
ONE_FILE = "maps.h5"
SHEETS = "contact_sheet"
_PARTS = ".maps.parts"  # maps on their way into ONE_FILE


class PreparedMaps(NamedTuple):
    """What ``prepare_density_maps`` left in the folder."""

    output: Path
    images: int
    made: int  # of these maps in this call; the others were there
    people: int  # points inside their images and regions of interest
    outside: int  # points dropped because they lie outside
    mass: float  # sum of all maps: `people` under "conserve", less under "clip"
    pages: int  # of the contact sheet


class PreparedImage(NamedTuple):
    """Progress: one more map is on disk."""

    position: int  # in the data set, from 0
    name: str
    people: int
    made: bool  # in this call


class MapSettings(Settings):
    """How the density map of an image is made of its points.

    Raises:
        UsageError: a number is out of range.
    """

    sigma: SigmaRule = SigmaRule()
    # As in skt_ext.density.density_map.
    boundary: Boundary = "conserve"
    # From 0 to below 1, for kernels that follow the outlines in the images; null: plain Gaussians.
    geodesic_weight: float | None = Field(default=None, ge=0, lt=1)
    geodesic_gain: float = Field(default=10.0, ge=0)

    def density(self, sample: CrowdSample) -> np.ndarray:
        """The map of a sample, (H, W) float32 people per pixel."""
        height, width = sample.image.shape[:2]
        return make_density(
            sample.points,
            self.sigma.sigmas(sample.points, sample.perspective),
            (height, width),
            boundary=self.boundary,
            roi=sample.roi,
            image=None if self.geodesic_weight is None else sample.image,
            geodesic_weight=self.geodesic_weight,
            geodesic_gain=self.geodesic_gain,
        ).numpy()

    def record(self) -> dict[str, Any]:
        """Everything that decides the bytes of a map."""
        unused = {"geodesic_gain": None} if self.geodesic_weight is None else {}
        return self.model_dump() | {"truncate": TRUNCATE} | unused

    def __str__(self) -> str:
        """In few words, for the contact sheet."""
        rule = self.sigma
        limits = [
            f"at {word} {value:g}"
            for word, value in (("least", rule.minimum), ("most", rule.maximum))
            if value is not None and rule.kind != "fixed"
        ]
        kind = {
            "fixed": f"{rule.value:g} pixels",
            "adaptive": f"{rule.beta:g} x mean distance to {rule.neighbors} nearest",
            "perspective": f"{rule.metres:g} m by the perspective map",
        }[rule.kind]
        parts = [f"sigma: {', '.join([kind, *limits])}", f"boundary: {self.boundary}"]
        if self.geodesic_weight is not None:
            parts.append(f"geodesic: weight {self.geodesic_weight:g}")
        return "; ".join(parts)


def prepare_density_maps(
    dataset: CrowdDataset,
    output: Path,
    settings: MapSettings,
    *,
    layout: Layout = "images",
    workers: int = 1,
    contact_sheet: bool = True,
    overwrite: bool = False,
    source: Mapping[str, Any] | None = None,
    on_image: Callable[[PreparedImage], None] | None = None,
) -> PreparedMaps:
    """Write the density map of every image of a data set, a manifest, and a contact sheet.

    With the layout ``"images"`` each image gets ``<name>.h5`` with the dataset ``density``, (H, W) float32 people
    per pixel, gzip. With ``"split"`` there is one ``maps.h5`` that holds ``<name>/density`` for each image. A map's
    attributes are the fields of ``MapRecord`` and ``settings`` (JSON). ``manifest.json`` has the settings, the
    versions, the totals, and the record of each image; its ``complete`` is false until all maps are there.
    ``contact_sheet/page_001.png`` ... show the images with their maps.

    A call that was stopped is finished by the same call again: maps that are whole, of these settings and of
    these images and points stay as they are; the others are made (again). Files are written completely or not
    at all, and the bytes of a map do not depend on the number of workers.

    Args:
        dataset: images and points, and regions of interest and perspective maps where it has them.
        output: the folder, made if it is missing.
        settings: how maps are made.
        layout: ``"images"`` or ``"split"``.
        workers: processes. Each holds one image and its map at a time, besides its libraries.
        contact_sheet: whether to draw contact sheets.
        overwrite: replace maps that were made with other settings. Files that were not made by this function
            are never replaced.
        source: how the data set was opened, for the manifest.
        on_image: called after each map, in order, for progress.

    Raises:
        UsageError: `layout` or `workers` is not one of these.
        SktError: a file is in the way, an image cannot be read, or the disk is full; names file and cause.
            Nothing is written where a file is in the way.
    """
    if layout not in get_args(Layout):
        raise UsageError(f"layout: expected images or split, got {layout!r}")
    if workers < 1:
        raise UsageError(f"workers: expected at least 1, got {workers}")
    output, names = Path(output), dataset.names
    manifest: dict[str, Any] = {
        MAKER_KEY: MAKER,
        "complete": False,
        "layout": layout,
        "data": {"kind": dataset.kind, **(source or {})},
        "settings": settings.record(),
        "versions": _versions(),
    }
    _claim(output, names, manifest, overwrite)
    write_json(output / MANIFEST, manifest)

    folder = output if layout == "images" else output / _PARTS  # where maps are written one by one
    for place in (output, folder, output / SHEETS):
        _remove_leftovers(place)
    packed = output / ONE_FILE if layout == "split" else None
    makers = [_MapMaker(index, folder, packed, settings) for index in range(len(names))]
    records: list[MapRecord] = []
    made = pages = 0
    with Processes(workers, dataset) as processes:
        for index, (record, new) in enumerate(processes.map(makers)):
            records.append(record)
            made += new
            if on_image is not None:
                on_image(PreparedImage(index, names[index], record.people, new))
        if layout == "split":
            _pack(output, names)
        if contact_sheet:
            painters = _page_painters(dataset, output, records, manifest["data"], str(settings))
            pages = sum(1 for _ in processes.map(painters))
            _remove_pages_beyond(output / SHEETS, pages)
    totals: dict[str, Any] = {
        "images": len(records),
        "people": sum(record.people for record in records),
        "outside": sum(record.outside for record in records),
        "sum": float(sum(record.sum for record in records)),
    }
    by_name = {name: record._asdict() for name, record in zip(names, records, strict=True)}
    write_json(output / MANIFEST, {**manifest, "complete": True, "totals": totals, "images": by_name})
    return PreparedMaps(output, len(records), made, totals["people"], totals["outside"], totals["sum"], pages)


def read_prepared_map(folder: Path, name: str) -> np.ndarray:
    """The map (H, W) float32 of an image, from a folder of ``prepare_density_maps`` of either layout.

    Raises:
        SktError: there is no such map, or it cannot be read.
    """
    own, shared = Path(folder) / f"{name}.h5", Path(folder) / ONE_FILE
    path, key = (own, DENSITY) if own.exists() else (shared, f"{name}/{DENSITY}")
    try:
        with h5py.File(path, "r") as file:
            return np.asarray(file[key][()])
    except (OSError, KeyError) as error:
        raise SktError(f"{path}: no map {key} can be read: {one_line(error)}") from error


# Making maps


@dataclasses.dataclass(frozen=True)
class _MapMaker:
    """The task of one map: find it on disk, or make and write it."""

    index: int
    folder: Path  # for the file of this map
    packed: Path | None  # the file of all maps, which may hold this one from an earlier call
    settings: MapSettings

    def __call__(self, dataset: CrowdDataset) -> tuple[MapRecord, bool]:
        """The map's record, and whether it was made now."""
        sample, name = dataset[self.index], dataset.names[self.index]
        inputs = _hash_inputs(sample, dataset.image_path(self.index))
        settings = json.dumps(self.settings.record(), sort_keys=True)
        for there in self._stored(name, settings):
            if there.inputs == inputs:
                return there, False
        density = self.settings.density(sample)
        height, width = density.shape
        total = float(density.sum(dtype=np.float64))
        people, outside = len(sample.points), sample.outside
        record = MapRecord(height, width, people, outside, total, *inputs, sha256_of(density))
        write_map(self.folder / f"{name}.h5", density, record, settings)
        return record, True

    def _stored(self, name: str, settings: str) -> Iterator[MapRecord]:
        """The whole maps of this image on disk."""
        places = [(self.folder / f"{name}.h5", "/")]
        if self.packed is not None:
            places.append((self.packed, name))
        for path, group in places:
            with _opened(path) as file:
                if file is not None and group in file:
                    record = read_record(file[group], settings)
                    if record is not None:
                        yield record


def _hash_inputs(sample: CrowdSample, image: Path | None) -> tuple[str, str, str]:
    """SHA-256 of image, points and scene, as in ``MapRecord``."""
    if image is None:
        of_image = sha256_of(sample.image)
    else:
        of_image = hashlib.sha256(image.read_bytes()).hexdigest()
    scene = [sha256_of(plane) if plane is not None else "" for plane in (sample.roi, sample.perspective)]
    of_scene = hashlib.sha256(" ".join(scene).encode()).hexdigest() if any(scene) else ""
    return of_image, sha256_of(sample.points), of_scene


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File | None]:
    """An HDF5 file to read, or None where there is none that can be read."""
    try:
        file = h5py.File(path, "r")
    except (OSError, ValueError):
        yield None
        return
    with file:
        yield file


def _pack(output: Path, names: Sequence[str]) -> None:
    """Put the maps that were made one by one and those of an earlier call into one file."""
    parts, packed = output / _PARTS, output / ONE_FILE
    new = {name for name in names if (parts / f"{name}.h5").exists()}

    def write(stream: BinaryIO) -> None:
        with h5py.File(stream, "w") as file, _opened(packed) as old:
            file.attrs[MAKER_KEY] = MAKER
            for name in names:
                if name in new:
                    with h5py.File(parts / f"{name}.h5", "r") as part:
                        file.copy(part["/"], name)  # compressed chunks travel as they are
                else:
                    assert old is not None  # the map was found whole, so it lies there
                    file.copy(old[name], name)

    with _opened(packed) as old:
        current = old is not None and not new and set(old) == set(names)
    if not current:
        atomic_write(packed, write)
    if parts.is_dir():
        for path in parts.iterdir():
            path.unlink()
        parts.rmdir()


# The folder


def _claim(output: Path, names: Sequence[str], manifest: Mapping[str, Any], overwrite: bool) -> None:
    """Refuse a folder in which something would be lost."""
    if output.exists() and not output.is_dir():
        raise SktError(f"{output}: is a file, expected a folder for the maps")
    for name in names:
        if name in ("", ".", "..") or any(mark in name for mark in {"/", os.sep, "\0"}):
            raise SktError(f"{name!r}: not an image's name that a file can have")
    earlier = _earlier_manifest(output / MANIFEST)
    if earlier is not None:
        if earlier.get("layout") != manifest["layout"]:
            raise SktError(
                f"{output / MANIFEST}: the maps here have the layout {earlier.get('layout')}, not "
                f"{manifest['layout']}; choose another folder"
            )
        if earlier.get("settings") != manifest["settings"] and not overwrite:
            raise SktError(
                f"{output / MANIFEST}: the maps here were made with other settings "
                f"({_difference(earlier.get('settings'), manifest['settings'])}); allow overwriting or choose "
                "another folder"
            )
    files = [f"{name}.h5" for name in names] if manifest["layout"] == "images" else [ONE_FILE]
    for path in (output / file for file in files):
        if not path.exists():
            continue
        ours = is_ours(path)
        # An unreadable file beside a manifest of ours is a map that was damaged, and is made again.
        if ours is False or (ours is None and earlier is None):
            raise SktError(f"{path}: exists and was not made by {MAKER}; choose another folder")
        if earlier is None and not overwrite:
            raise SktError(
                f"{path}: exists without the manifest that would say how it was made; allow overwriting or "
                "choose another folder"
            )


def _earlier_manifest(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get(MAKER_KEY) != MAKER:
        raise SktError(f"{path}: exists and was not made by {MAKER}; choose another folder")
    return content


def _difference(earlier: Any, now: Any) -> str:
    """The first setting that differs, in words."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in now:
            if earlier.get(key) != now[key]:
                return f"{key} {_difference(earlier.get(key), now[key])}"
    return f"{earlier}, now {now}"


def _remove_leftovers(folder: Path) -> None:
    """Delete what a killed worker left of a file that it was writing."""
    if folder.is_dir():
        for path in folder.iterdir():
            if re.fullmatch(r"\..+\.(h5|json|png)\.[0-9a-f]{8}\.tmp", path.name):
                path.unlink()


def _versions() -> dict[str, str]:
    try:
        ours = metadata.version("skt-ext")
    except metadata.PackageNotFoundError:
        ours = "not installed"
    return {
        "skt-ext": ours,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
    }


# The contact sheet


@dataclasses.dataclass(frozen=True)
class _PagePainter:
    """The task of one page: draw it unless it is there."""

    path: Path
    maps: Path  # folder
    first: int  # position in the data set of the first image
    records: Sequence[MapRecord]  # of the page's images
    layout: SheetLayout
    title: str
    subtitle: str

    def __call__(self, dataset: CrowdDataset) -> None:
        positions = range(self.first, self.first + len(self.records))
        names = [dataset.names[index] for index in positions]
        shown = [self.title, self.subtitle, self.layout, names, self.records]
        key = hashlib.sha256(json.dumps(shown).encode()).hexdigest()
        if page_key(self.path) == key:
            return
        images = [
            _sheet_image(dataset[index], record, read_prepared_map(self.maps, name))
            for index, record, name in zip(positions, self.records, names, strict=True)
        ]
        save_page(self.path, draw_page(images, self.layout, self.title, self.subtitle), key)


def _page_painters(
    dataset: CrowdDataset,
    output: Path,
    records: Sequence[MapRecord],
    source: Mapping[str, Any],
    settings: str,
) -> list[_PagePainter]:
    layout = sheet_layout([(record.height, record.width) for record in records])
    name = " ".join(str(value) for value in source.values())
    subtitle = f"{sum(record.people for record in records):,} people in all; {settings}"
    painters = []
    for page, first in enumerate(range(0, len(records), layout.images), start=1):
        shown = records[first : first + layout.images]
        title = f"{name}: images {first + 1} to {first + len(shown)} of {len(records)}"
        path = output / SHEETS / f"page_{page:03d}.png"
        painters.append(_PagePainter(path, output, first, shown, layout, title, subtitle))
    return painters


def _sheet_image(sample: CrowdSample, record: MapRecord, density: np.ndarray) -> SheetImage:
    warnings = []
    if record.outside:
        warnings.append(f"{record.outside} {'point' if record.outside == 1 else 'points'} outside")
    lost = record.people - record.sum
    if abs(lost) > max(1e-4 * record.people, 1e-6):
        warnings.append(f"{abs(lost):,.2f} people {'lost' if lost > 0 else 'too many'}")
    return SheetImage(sample.name, sample.image, density, sample.roi, record.people, warnings)


def _remove_pages_beyond(folder: Path, pages: int) -> None:
    """Delete our pages of an earlier call that had more of them."""
    for path in folder.glob("page_*.png"):
        number = path.stem.removeprefix("page_")
        if number.isdecimal() and int(number) > pages and page_key(path) is not None:
            path.unlink()
