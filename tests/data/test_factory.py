"""One way to open every kind of data set."""

import pytest

from skt_crowd.data import (
    DATASET_KINDS,
    BeijingBrt,
    ImageFolder,
    Mall,
    ShanghaiTech,
    SyntheticCrowds,
    UcfCc50,
    UcfQnrf,
    open_dataset,
)
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_ann_points, write_brt, write_image, write_mall, write_shanghaitech


def test_every_kind(tmp_path):
    write_shanghaitech(tmp_path / "sh/part_B/test_data", {"IMG_1": []})
    write_image(tmp_path / "ucf/1.jpg")
    write_ann_points(tmp_path / "ucf/1_ann.mat", [[1.0, 1.0]])
    write_image(tmp_path / "qnrf/Test/img_0001.jpg")
    write_ann_points(tmp_path / "qnrf/Test/img_0001_ann.mat", [[1.0, 1.0]])
    write_mall(tmp_path / "mall", [[[1.0, 1.0]]])
    write_brt(tmp_path / "brt", {"a": [[1.0, 1.0]]}, split="test")
    write_image(tmp_path / "own/night/a.png")
    (tmp_path / "own/night/a.json").write_text("[]")
    opened = [
        open_dataset("shanghaitech", tmp_path / "sh", split="test", part="B"),
        open_dataset("ucf_cc_50", tmp_path / "ucf"),
        open_dataset("ucf_qnrf", tmp_path / "qnrf", split="test"),
        open_dataset("mall", tmp_path / "mall"),
        open_dataset("beijing_brt", tmp_path / "brt", split="test"),
        open_dataset("folder", tmp_path / "own", split="night"),
        open_dataset("synthetic", None, split="test", length=1, height=40),
    ]
    classes = [ShanghaiTech, UcfCc50, UcfQnrf, Mall, BeijingBrt, ImageFolder, SyntheticCrowds]
    assert [type(dataset) for dataset in opened] == classes
    assert tuple(dataset.kind for dataset in opened) == DATASET_KINDS
    assert opened[-1][0].image.shape == (40, 128, 3)
    assert all(len(dataset) == 1 for dataset in opened)


@pytest.mark.parametrize(
    ("kind", "root", "options", "message"),
    [
        (
            "coco",
            "x",
            {},
            "data set kind: expected one of shanghaitech, ucf_cc_50, ucf_qnrf, mall, beijing_brt, folder, "
            "synthetic, got 'coco'",
        ),
        ("shanghaitech", None, {}, "data set shanghaitech: needs its folder"),
        ("synthetic", "x", {}, "data set synthetic: made in memory, but a folder was given: x"),
        ("folder", "x", {"part": "A"}, "data set folder: no option part; it has none"),
        ("shanghaitech", "x", {"fold": 1}, "data set shanghaitech: no option fold; it has part"),
        (
            "synthetic",
            None,
            {"size": 3},
            "data set synthetic: no option size; it has length, seed, height, width",
        ),
    ],
)
def test_requests_that_make_no_sense(kind, root, options, message):
    with pytest.raises(UsageError, match=message):
        open_dataset(kind, root, **options)


def test_missing_folder(tmp_path):
    for kind in ("shanghaitech", "ucf_cc_50", "ucf_qnrf", "mall", "beijing_brt", "folder"):
        with pytest.raises(SktError, match="nowhere: no such folder"):
            open_dataset(kind, tmp_path / "nowhere")
