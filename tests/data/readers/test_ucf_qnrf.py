"""UCF-QNRF: its folders, points just outside, and messages."""

import pytest

from skt_crowd.data import UcfQnrf
from skt_crowd.data.readers.matlab import read_ann_points
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_ann_points, write_image
from tests.support.shared_data import shared_path


def test_sample(tmp_path):
    write_image(tmp_path / "Train/img_0001.jpg")
    write_ann_points(tmp_path / "Train/img_0001_ann.mat", [[3.0, 2.0], [3.0, -0.17]])
    crowd = UcfQnrf(tmp_path)
    assert (crowd.kind, crowd.names) == ("ucf_qnrf", ["img_0001"])
    assert (crowd[0].points.tolist(), crowd[0].outside) == ([[3.0, 2.0]], 1)


def test_messages(tmp_path):
    with pytest.raises(UsageError, match="split: expected one of train, test, got 'val'"):
        UcfQnrf(tmp_path, split="val")
    with pytest.raises(SktError, match=r"no folder Test; expected UCF-QNRF \(Train/img_0001\.jpg\)"):
        UcfQnrf(tmp_path, split="test")
    write_image(tmp_path / "Test/img_0002.jpg")
    with pytest.raises(SktError, match=r"img_0002\.jpg: no annotation img_0002_ann\.mat"):
        UcfQnrf(tmp_path, split="test")


def test_a_published_annotation():
    points = read_ann_points(shared_path("data", "ucf_qnrf", "img_0001_ann.mat"))
    assert points.shape == (977, 2)
    assert points[:, 1].min() == pytest.approx(-0.17, abs=0.01)
