"""Density maps on disk: what is in the files, and that nobody's files are lost."""

import errno
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from skt_crowd.data import SigmaRule, SyntheticCrowds, make_density, prepare_density_maps
from skt_crowd.errors import SktError, UsageError

CROWDS = SyntheticCrowds(length=3, height=40, width=56, people_min=0, people_max=6)
RULE = SigmaRule("fixed", value=3.0)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files(tmp_path):
    seen = []
    output = tmp_path / "new" / "maps"
    summary = prepare_density_maps(CROWDS, output, sigma=RULE, on_image=seen.append)
    people = [len(CROWDS[index].points) for index in range(3)]
    assert (summary.output, summary.images, summary.people, summary.outside) == (output, 3, sum(people), 0)
    assert summary.mass == pytest.approx(sum(people), abs=1e-3)
    assert [tuple(image) for image in seen] == [
        (index, CROWDS.names[index], people[index]) for index in range(3)
    ]
    assert names_in(output) == ["manifest.json", *(f"train_0000{index}.h5" for index in range(3))]
    for index, name in enumerate(CROWDS.names):
        with h5py.File(output / f"{name}.h5") as file:
            assert list(file) == ["density"]
            density = file["density"]
            assert (density.shape, density.dtype, density.compression) == ((40, 56), np.float32, "gzip")
            points = CROWDS[index].points
            expected = make_density(points, RULE.widths(points), (40, 56)).numpy()
            np.testing.assert_array_equal(density[()], expected)
            assert dict(file.attrs) == {
                "made_by": "skt prepare",
                "boundary": "conserve",
                "truncate": 4.0,
                "sigma": file.attrs["sigma"],
                "count": people[index],
                "outside": 0,
            }
            assert json.loads(file.attrs["sigma"])["value"] == 3.0


def test_manifest(tmp_path):
    summary = prepare_density_maps(CROWDS, tmp_path, sigma=RULE, boundary="clip")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kind"] == "synthetic"
    assert manifest["boundary"] == "clip"
    assert manifest["sigma"]["kind"] == "fixed"
    assert manifest["people"] == summary.people == sum(manifest["counts"].values())
    assert list(manifest["counts"]) == CROWDS.names
    assert summary.mass < summary.people


def test_our_own_files_are_replaced_only_when_allowed(tmp_path):
    prepare_density_maps(CROWDS, tmp_path, sigma=RULE)
    with pytest.raises(
        SktError, match=r"manifest\.json: exists already; allow overwriting or choose another"
    ):
        prepare_density_maps(CROWDS, tmp_path, sigma=RULE)
    prepare_density_maps(CROWDS, tmp_path, sigma=RULE, boundary="clip", overwrite=True)
    with h5py.File(tmp_path / "train_00000.h5") as file:
        assert file.attrs["boundary"] == "clip"


@pytest.mark.parametrize("name", ["train_00001.h5", "manifest.json"])
@pytest.mark.parametrize("content", [b"precious", b'{"mine": true}', b"[]"])
def test_files_of_others_are_never_replaced(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        SktError, match=rf"{name}: exists and was not made by skt prepare; choose another folder"
    ):
        prepare_density_maps(CROWDS, tmp_path, sigma=RULE, overwrite=True)
    assert names_in(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == content


def test_hdf5_of_others_is_never_replaced(tmp_path):
    with h5py.File(tmp_path / "train_00002.h5", "w") as file:
        file["density"] = np.ones(3)
    with pytest.raises(SktError, match=r"train_00002\.h5: exists and was not made by"):
        prepare_density_maps(CROWDS, tmp_path, sigma=RULE, overwrite=True)


def test_output_is_a_file(tmp_path):
    (tmp_path / "maps").write_text("precious")
    with pytest.raises(SktError, match="maps: is a file, expected a folder for the maps"):
        prepare_density_maps(CROWDS, tmp_path / "maps", sigma=RULE)


def test_a_full_disk_leaves_whole_files_only(tmp_path, monkeypatch):
    calls = []

    def sync(descriptor):
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(SktError, match=r"train_0000\d\.h5: .*No space left on device"):
        prepare_density_maps(CROWDS, tmp_path, sigma=RULE)
    written = names_in(tmp_path)
    assert "manifest.json" not in written
    assert 0 < len(written) < 3
    for name in written:
        with h5py.File(tmp_path / name) as file:
            assert file["density"].shape == (40, 56)


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ""])
def test_names_that_leave_the_folder(tmp_path, name):
    crowds = SyntheticCrowds(length=1)
    crowds.names = [name]
    with pytest.raises(SktError, match="not an image's name that a file can have"):
        prepare_density_maps(crowds, tmp_path / "maps", sigma=RULE)
    assert not (tmp_path / "maps").exists()


def test_unknown_boundary(tmp_path):
    with pytest.raises(UsageError, match="boundary: expected conserve or clip, got 'wrap'"):
        prepare_density_maps(CROWDS, tmp_path, sigma=RULE, boundary="wrap")
