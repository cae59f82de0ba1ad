"""Mall: frames and their points, the region of interest, the perspective map, and messages."""

import numpy as np
import pytest
import scipy.io

from skt_crowd.data import Mall
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_image, write_mall
from tests.support.shared_data import shared_path

ROI = np.ones((6, 8), np.uint8)
ROI[:, :2] = 0


def test_sample(tmp_path):
    weights = np.full((6, 8), 4.0)
    write_mall(tmp_path, [[[3.0, 2.0], [1.0, 2.0], [9.0, 2.0]], []], roi=ROI, weights=weights)
    mall = Mall(tmp_path)
    assert (mall.kind, mall.names) == ("mall", ["seq_000001", "seq_000002"])
    sample = mall[0]
    assert (sample.points.tolist(), sample.outside) == (
        [[3.0, 2.0]],
        2,
    )  # one beside the region, one the image
    np.testing.assert_array_equal(sample.roi, ROI.astype(bool))
    np.testing.assert_allclose(sample.perspective, 34.0)  # 68 pixels a metre / sqrt(4)
    assert mall[1].points.shape == (0, 2)


def test_frames_that_are_not_there_are_left_out(tmp_path):
    write_mall(tmp_path, [[[1.0, 1.0]], [[2.0, 1.0]], [[3.0, 1.0]]], first=3)
    mall = Mall(tmp_path)
    assert mall.names == ["seq_000003"]
    assert mall[0].points.tolist() == [[3.0, 1.0]]


def test_splits(tmp_path):
    write_mall(tmp_path, [[]] * 802, first=800)
    assert Mall(tmp_path).names == ["seq_000800"]
    assert Mall(tmp_path, split="test").names == ["seq_000801", "seq_000802"]
    with pytest.raises(UsageError, match="split: expected one of train, test, got 'all'"):
        Mall(tmp_path, split="all")


def test_a_split_without_frames(tmp_path):
    write_mall(tmp_path, [[]])
    with pytest.raises(SktError, match="frames: none of the test split's frames, 801 to 1"):
        Mall(tmp_path, split="test")


def test_a_frame_without_annotation(tmp_path):
    write_mall(tmp_path, [[]])
    write_image(tmp_path / "frames/seq_000002.jpg")
    with pytest.raises(SktError, match=r"seq_000002\.jpg: mall_gt\.mat ends with frame 1"):
        Mall(tmp_path)


def test_an_image_of_another_name(tmp_path):
    write_mall(tmp_path, [[]])
    write_image(tmp_path / "frames/a.jpg")
    with pytest.raises(SktError, match=r"a\.jpg: expected Mall's names of frames, seq_000001\.jpg"):
        Mall(tmp_path)


def test_a_frame_of_another_size(tmp_path):
    write_mall(tmp_path, [[]])
    write_image(tmp_path / "frames/seq_000001.jpg", 5, 8)
    with pytest.raises(SktError, match=r"5 x 8 pixels \(H x W\), but .* region of interest is 6 x 8"):
        Mall(tmp_path)[0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("mall_gt.mat", {"count": 1}, r"expected Mall: frame\{i\}\.loc, .*variables are: count"),
        ("mall_gt.mat", {"frame": np.ones((1, 2))}, r"frame 1 is not laid out as expected \(Mall: frame"),
        ("perspective_roi.mat", {"pMapN": np.ones((6, 8))}, r"expected Mall: roi\.mask, \(H, W\)"),
        ("perspective_roi.mat", {"roi": np.ones((6, 8))}, "its variable roi is not laid out as expected"),
        ("perspective_roi.mat", {"roi": {"mask": np.zeros((6, 8))}}, "zero everywhere, so nobody would be"),
        (
            "perspective_roi.mat",
            {"roi": {"mask": np.ones((6, 8))}, "pMapN": np.array([[1.0, 0.0]])},
            r"expected Mall and Beijing-BRT: pMapN, \(H, W\) of weights above 0; 0 is among them",
        ),
    ],
)
def test_files_of_another_layout(tmp_path, file, content, message):
    write_mall(tmp_path, [[]])
    scipy.io.savemat(tmp_path / file, content)
    with pytest.raises(SktError, match=message):
        Mall(tmp_path)


def test_as_published():
    mall = Mall(shared_path("data", "mall"))
    samples = [mall[index] for index in range(len(mall))]
    assert len(samples) == 40
    assert samples[0].image.shape == (480, 640, 3)
    assert (len(samples[0].points), sum(sample.outside for sample in samples)) == (29, 0)
    assert samples[0].roi.mean() == pytest.approx(0.9022, abs=1e-4)
    # Linear in y, as on flat ground: people are four times as tall at the bottom as at the top.
    heights = samples[0].perspective[:, 0]
    assert heights[-1] / heights[0] == pytest.approx(4.38, abs=0.01)
    np.testing.assert_allclose(np.diff(heights), np.diff(heights).mean(), rtol=0.01)
