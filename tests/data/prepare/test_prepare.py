"""Density maps on disk: what is in the files, what a second call does, and that nobody's files are lost."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from skt_crowd.data import Mall, SigmaRule, SyntheticCrowds, make_density
from skt_crowd.data.prepare import MapSettings, prepare_density_maps, read_prepared_map
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_mall

CROWDS = SyntheticCrowds(length=3, height=40, width=56, people_min=0, people_max=6)
RULE = SigmaRule(kind="fixed", value=3.0)
MAPS = [f"{name}.h5" for name in CROWDS.names]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def prepare(folder: Path, dataset=CROWDS, **options):
    making = {"sigma": RULE} | {
        key: options.pop(key) for key in [*options] if key in MapSettings.model_fields
    }
    return prepare_density_maps(dataset, folder, MapSettings(**making), **{"contact_sheet": False, **options})


def test_files(tmp_path):
    seen = []
    output = tmp_path / "new" / "maps"
    summary = prepare(output, on_image=seen.append)
    people = [len(CROWDS[index].points) for index in range(3)]
    assert summary == (output, 3, 3, sum(people), 0, pytest.approx(sum(people), abs=1e-3), 0)
    assert [tuple(image) for image in seen] == [
        (index, CROWDS.names[index], people[index], True) for index in range(3)
    ]
    assert names_in(output) == ["manifest.json", *MAPS]
    for index, name in enumerate(CROWDS.names):
        with h5py.File(output / f"{name}.h5") as file:
            assert list(file) == ["density"]
            density = file["density"]
            assert (density.shape, density.dtype, density.compression) == ((40, 56), np.float32, "gzip")
            points = CROWDS[index].points
            expected = make_density(points, RULE.sigmas(points), (40, 56)).numpy()
            np.testing.assert_array_equal(density[()], expected)
            np.testing.assert_array_equal(read_prepared_map(output, name), expected)
            assert (file.attrs["people"], file.attrs["outside"]) == (people[index], 0)
            assert json.loads(file.attrs["settings"])["sigma"]["value"] == 3.0


def test_manifest(tmp_path):
    summary = prepare(tmp_path, boundary="clip", source={"split": "train", "length": 3})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["data"] == {"kind": "synthetic", "split": "train", "length": 3}
    assert manifest["settings"]["boundary"] == "clip"
    assert manifest["settings"]["sigma"]["kind"] == "fixed"
    assert manifest["versions"]["h5py"] == h5py.__version__
    assert manifest["totals"]["people"] == summary.people
    assert manifest["totals"]["sum"] == summary.mass < summary.people
    assert list(manifest["images"]) == CROWDS.names
    record = manifest["images"]["train_00001"]
    assert (record["height"], record["width"], record["people"]) == (40, 56, len(CROWDS[1].points))
    hashes = [record[key] for key in ("image_sha256", "points_sha256", "density_sha256")]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)
    assert record["scene_sha256"] == ""


def test_the_region_of_interest_is_kept_to(tmp_path):
    roi = np.ones((24, 32), np.uint8)
    roi[:, 16:] = 0
    write_mall(tmp_path / "mall", [[[15.0, 12.0], [20.0, 12.0]]], roi=roi, height=24, width=32)
    summary = prepare(
        tmp_path / "maps", Mall(tmp_path / "mall"), sigma=SigmaRule(kind="perspective", metres=0.05)
    )
    assert (summary.people, summary.outside) == (1, 1)
    density = read_prepared_map(tmp_path / "maps", "seq_000001")
    assert density[:, 16:].max() == 0
    assert density.sum() == pytest.approx(1, abs=1e-5)
    assert density[12, 15] == density.max()
    manifest = json.loads((tmp_path / "maps/manifest.json").read_text())
    assert manifest["images"]["seq_000001"]["scene_sha256"] != ""


def test_geodesic_maps_stay_on_their_side(tmp_path):
    crowds = SyntheticCrowds(length=1, height=40, width=56, people_min=5, people_max=5)
    prepare(tmp_path / "plain", crowds)
    prepare(tmp_path / "geodesic", crowds, geodesic_weight=0.5)
    plain, geodesic = (read_prepared_map(tmp_path / kind, "train_00000") for kind in ("plain", "geodesic"))
    assert geodesic.sum() == pytest.approx(5, abs=1e-4)
    assert geodesic.max() > 1.2 * plain.max()  # narrower, because nearly every step costs something
    settings = json.loads((tmp_path / "geodesic/manifest.json").read_text())["settings"]
    assert settings["geodesic_weight"] == 0.5


def test_workers_write_the_same_bytes(tmp_path):
    prepare(tmp_path / "one", workers=1, contact_sheet=True)
    prepare(tmp_path / "two", workers=2, contact_sheet=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one/contact_sheet") == contents(tmp_path / "two/contact_sheet")


# A second call


def test_what_holds_is_left_alone(tmp_path):
    prepare(tmp_path, contact_sheet=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.[hp][5n]*")}
    assert len(before) == 4  # three maps and a page
    assert prepare(tmp_path, contact_sheet=True).made == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("layout", ["images", "split"])
def test_a_stopped_call_is_finished(tmp_path, layout):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare(whole, layout=layout)

    def stop(image):
        if image.position == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(stopped, layout=layout, on_image=stop)
    assert json.loads((stopped / "manifest.json").read_text())["complete"] is False
    assert prepare(stopped, layout=layout).made == 1
    assert names_in(stopped) == names_in(whole)
    for name in CROWDS.names:
        np.testing.assert_array_equal(read_prepared_map(stopped, name), read_prepared_map(whole, name))
    assert contents(stopped)["manifest.json"] == contents(whole)["manifest.json"]


def damage_by_cutting(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_a_pixel(path):
    with h5py.File(path, "r+") as file:
        file["density"][0, 0] = 1.0


@pytest.mark.parametrize("damage", [damage_by_cutting, damage_by_emptying, damage_a_pixel, Path.unlink])
def test_a_damaged_map_is_made_again(tmp_path, damage):
    prepare(tmp_path)
    before = contents(tmp_path)
    damage(tmp_path / MAPS[1])
    assert prepare(tmp_path).made == 1
    assert contents(tmp_path) == before


def test_a_changed_point_makes_its_map_again(tmp_path):
    folder = tmp_path / "mall"
    write_mall(folder, [[[3.0, 2.0]], [[4.0, 2.0]]])
    prepare(tmp_path / "maps", Mall(folder))
    write_mall(folder, [[[3.0, 2.0]], [[5.0, 2.0]]])
    assert prepare(tmp_path / "maps", Mall(folder)).made == 1
    assert read_prepared_map(tmp_path / "maps", "seq_000002")[2].argmax() == 5


def test_leftovers_of_a_killed_call_are_removed(tmp_path):
    prepare(tmp_path)
    leftover = tmp_path / ".train_00001.h5.0123abcd.tmp"
    leftover.write_bytes(b"half")
    other = tmp_path / ".notes.tmp"
    other.write_bytes(b"precious")
    prepare(tmp_path)
    assert (leftover.exists(), other.exists()) == (False, True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_process_is_finished_by_the_same_call(tmp_path, workers):
    program = f"""
import time
from pathlib import Path
from skt_crowd.data import SigmaRule
from skt_crowd.data import SyntheticCrowds
from skt_crowd.data.prepare import MapSettings, prepare_density_maps
if __name__ == "__main__":
    crowds = SyntheticCrowds(length=6, height=40, width=56)
    slow = lambda image: time.sleep(0.5)
    settings = MapSettings(sigma=SigmaRule(kind="fixed", value=3.0))
    prepare_density_maps(crowds, Path({str(tmp_path / "maps")!r}), settings,
                         workers={workers}, contact_sheet=False, on_image=slow)
"""
    script = tmp_path / "prepare.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script)], start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list((tmp_path / "maps").glob("*.h5")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for_the_group_to_end(process.pid)
    there = len(list((tmp_path / "maps").glob("*.h5")))
    assert there > 0
    crowds = SyntheticCrowds(length=6, height=40, width=56)
    assert prepare(tmp_path / "maps", crowds).made == 6 - there
    prepare(tmp_path / "whole", crowds)
    assert contents(tmp_path / "maps") == contents(tmp_path / "whole")


def wait_for_the_group_to_end(group: int) -> None:
    """Workers see that their parent is gone and leave; one that stays fails the test."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a worker outlived its parent")


# One file


def test_one_file(tmp_path):
    prepare(tmp_path, layout="split")
    assert names_in(tmp_path) == ["manifest.json", "maps.h5"]
    prepare(tmp_path / "images")
    with h5py.File(tmp_path / "maps.h5") as file:
        assert sorted(file) == CROWDS.names
        for name in CROWDS.names:
            np.testing.assert_array_equal(
                file[name]["density"][()], read_prepared_map(tmp_path / "images", name)
            )
            assert file[name].attrs["people"] == len(CROWDS[CROWDS.names.index(name)].points)
    before = (tmp_path / "maps.h5").stat().st_mtime_ns
    assert prepare(tmp_path, layout="split").made == 0
    assert (tmp_path / "maps.h5").stat().st_mtime_ns == before


def test_one_file_takes_what_still_holds_from_the_old_one(tmp_path):
    prepare(tmp_path, layout="split")
    with h5py.File(tmp_path / "maps.h5", "r+") as file:
        file["train_00001/density"][0, 0] = 7.0
    assert prepare(tmp_path, layout="split").made == 1
    assert read_prepared_map(tmp_path, "train_00001")[0, 0] < 1
    damage_by_cutting(tmp_path / "maps.h5")
    assert prepare(tmp_path, layout="split").made == 3


# What is in the way


def test_other_settings_replace_only_when_allowed(tmp_path):
    prepare(tmp_path)
    message = (
        r"manifest\.json: the maps here were made with other settings \(boundary conserve, now clip\); "
        "allow overwriting or choose another folder"
    )
    with pytest.raises(SktError, match=message):
        prepare(tmp_path, boundary="clip")
    with pytest.raises(SktError, match=r"\(sigma value 3\.0, now 4\.0\)"):
        prepare(tmp_path, sigma=SigmaRule(kind="fixed", value=4.0))
    with pytest.raises(SktError, match="the maps here have the layout images, not split"):
        prepare(tmp_path, layout="split")
    assert prepare(tmp_path, boundary="clip", overwrite=True).made == 3
    with h5py.File(tmp_path / MAPS[0]) as file:
        assert json.loads(file.attrs["settings"])["boundary"] == "clip"


def test_maps_without_their_manifest(tmp_path):
    prepare(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(SktError, match=r"train_00000\.h5: exists without the manifest that would say how"):
        prepare(tmp_path)
    assert prepare(tmp_path, overwrite=True).images == 3


@pytest.mark.parametrize("name", ["train_00001.h5", "manifest.json"])
@pytest.mark.parametrize("content", [b"precious", b'{"mine": true}', b"[]"])
def test_files_of_others_are_never_replaced(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        SktError, match=rf"{name}: exists and was not made by skt prepare; choose another folder"
    ):
        prepare(tmp_path, overwrite=True)
    assert names_in(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == content


def test_hdf5_of_others_is_never_replaced(tmp_path):
    prepare(tmp_path)
    with h5py.File(tmp_path / "train_00002.h5", "w") as file:
        file["density"] = np.ones(3)
    with pytest.raises(SktError, match=r"train_00002\.h5: exists and was not made by"):
        prepare(tmp_path, overwrite=True)


def test_output_is_a_file(tmp_path):
    (tmp_path / "maps").write_text("precious")
    with pytest.raises(SktError, match="maps: is a file, expected a folder for the maps"):
        prepare(tmp_path / "maps")


def test_a_full_disk_leaves_whole_files_only(tmp_path, monkeypatch):
    calls = []

    def sync(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(SktError, match=r"train_0000\d\.h5: .*No space left on device"):
        prepare(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False
    written = [name for name in names_in(tmp_path) if name != "manifest.json"]
    assert 0 < len(written) < 3
    for name in written:
        with h5py.File(tmp_path / name) as file:
            assert file["density"].shape == (40, 56)


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ""])
def test_names_that_leave_the_folder(tmp_path, name):
    crowds = SyntheticCrowds(length=1)
    crowds.names = [name]
    with pytest.raises(SktError, match="not an image's name that a file can have"):
        prepare(tmp_path / "maps", crowds)
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": "wrap"}, "boundary: expected 'conserve' or 'clip', got 'wrap'"),
        ({"layout": "zip"}, "layout: expected images or split, got 'zip'"),
        ({"geodesic_weight": 1.0}, "geodesic_weight: expected less than 1, got 1"),
        ({"geodesic_gain": -1.0}, "geodesic_gain: expected greater than or equal to 0, got -1"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        (
            {"sigma": SigmaRule(kind="perspective")},
            "sigma kind perspective: the images have no perspective map",
        ),
    ],
)
def test_requests_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        prepare(tmp_path, **options)


def test_a_bad_image_is_named_and_the_others_stay(tmp_path):
    folder = tmp_path / "mall"
    write_mall(folder, [[[3.0, 2.0]], [[4.0, 2.0]]])
    image = folder / "frames/seq_000002.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    with pytest.raises(SktError, match=r"seq_000002\.jpg: not an image"):
        prepare(tmp_path / "maps", Mall(folder))
    image.write_bytes(whole)
    assert prepare(tmp_path / "maps", Mall(folder)).made == 1


def test_a_map_that_is_not_there(tmp_path):
    prepare(tmp_path)
    with pytest.raises(SktError, match=r"maps\.h5: no map nobody/density can be read"):
        read_prepared_map(tmp_path, "nobody")


# The contact sheet


def test_pages(tmp_path):
    crowds = SyntheticCrowds(length=32, height=32, width=40, people_max=3)
    summary = prepare(tmp_path, crowds, contact_sheet=True)
    pages = names_in(tmp_path / "contact_sheet")
    assert pages == [f"page_{number:03d}.png" for number in range(1, summary.pages + 1)]
    assert len(pages) == 2
    few = SyntheticCrowds(length=2, height=32, width=40, people_max=3)
    prepare(tmp_path, few, contact_sheet=True)
    assert names_in(tmp_path / "contact_sheet") == ["page_001.png"]


def test_a_damaged_page_is_drawn_again(tmp_path):
    prepare(tmp_path, contact_sheet=True)
    page = tmp_path / "contact_sheet/page_001.png"
    before = page.read_bytes()
    page.write_bytes(before[: len(before) // 2])
    prepare(tmp_path, contact_sheet=True)
    assert page.read_bytes() == before
    with Image.open(page) as image:
        assert image.width > 1000
