"""Beijing-BRT: its folders, the points that mark nobody, and the perspective map."""

import numpy as np
import pytest
import scipy.io

from skt_crowd.data import BeijingBrt
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_brt, write_image
from tests.support.shared_data import shared_path


def test_sample(tmp_path):
    write_brt(tmp_path, {"b-2": [[1.5, 2.5], [402.5, 702.5]], "b-10": [[7.0, 5.0]]})
    brt = BeijingBrt(tmp_path)
    assert (brt.kind, brt.names) == ("beijing_brt", ["b-2", "b-10"])
    sample = brt[0]
    assert (sample.points.tolist(), sample.outside, sample.roi) == ([[1.5, 2.5]], 1, None)
    np.testing.assert_allclose(sample.perspective, np.full((6, 8), 64.0))  # 128 pixels a metre / sqrt(4)


def test_integers_are_points_too(tmp_path):
    write_brt(tmp_path, {"a": [[1, 2]]}, split="test", dtype="int16")
    points = BeijingBrt(tmp_path, split="test")[0].points
    assert (points.tolist(), points.dtype) == ([[1.0, 2.0]], np.float64)


def test_messages(tmp_path):
    write_brt(tmp_path, {"a": [[1.0, 2.0]]})
    with pytest.raises(UsageError, match="split: expected one of train, test, got 'val'"):
        BeijingBrt(tmp_path, split="val")
    with pytest.raises(SktError, match=r"no folder test; expected Beijing-BRT \(test/frame, pMapN\.mat\)"):
        BeijingBrt(tmp_path, split="test")
    scipy.io.savemat(tmp_path / "train/ground_truth/a.mat", {"annPoints": np.zeros((1, 2))})
    with pytest.raises(SktError, match=r"expected Beijing-BRT: loc, .*; that is the layout of UCF_CC_50"):
        BeijingBrt(tmp_path)[0]
    write_image(tmp_path / "train/frame/b.jpg")
    with pytest.raises(SktError, match=r"b\.jpg: no annotation b\.mat"):
        BeijingBrt(tmp_path)
    (tmp_path / "pMapN.mat").unlink()
    with pytest.raises(SktError, match=r"pMapN\.mat: no such file"):
        BeijingBrt(tmp_path)


def test_as_published():
    brt = BeijingBrt(shared_path("data", "beijing_brt"))
    samples = [brt[index] for index in range(len(brt))]
    assert (len(samples), sum(len(sample.points) for sample in samples)) == (24, 245)
    assert {sample.image.shape for sample in samples} == {(640, 360, 3)}
