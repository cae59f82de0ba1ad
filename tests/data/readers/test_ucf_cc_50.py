"""UCF_CC_50: the format, the folds, and the published numbers."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from skt_crowd.data import UcfCc50
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_ann_points, write_image, write_image_info
from tests.support.shared_data import shared_path


@pytest.fixture
def fifty(tmp_path):
    for number in range(1, 51):
        write_image(tmp_path / f"{number}.jpg", 2, 2)
        write_ann_points(tmp_path / f"{number}_ann.mat", np.zeros((0, 2)))
    return tmp_path


def test_sample(tmp_path):
    write_image(tmp_path / "1.jpg")
    write_ann_points(tmp_path / "1_ann.mat", [[-358.7, 2.0], [3.0, 2.0]])
    crowd = UcfCc50(tmp_path)
    assert (crowd.kind, crowd.names) == ("ucf_cc_50", ["1"])
    assert (crowd[0].points.tolist(), crowd[0].outside) == ([[3.0, 2.0]], 1)
    assert crowd.image_path(0) == tmp_path / "1.jpg"


def test_folds_are_tens_in_order(fifty):
    assert UcfCc50(fifty).names == [str(number) for number in range(1, 51)]
    assert UcfCc50(fifty, split="test", fold=2).names == [str(number) for number in range(11, 21)]
    tested = [name for fold in range(1, 6) for name in UcfCc50(fifty, split="test", fold=fold).names]
    assert tested == UcfCc50(fifty).names
    for fold in range(1, 6):
        train, test = (set(UcfCc50(fifty, split=split, fold=fold).names) for split in ("train", "test"))
        assert (len(train), train & test) == (40, set())


def test_folds_need_all_fifty(fifty):
    (fifty / "7.jpg").unlink()
    (fifty / "7_ann.mat").unlink()
    assert len(UcfCc50(fifty)) == 49
    with pytest.raises(SktError, match=r"folds need the images 1\.jpg to 50\.jpg and no others"):
        UcfCc50(fifty, fold=1)


def test_options(tmp_path):
    with pytest.raises(UsageError, match="has no test split of its own; choose a fold, 1 to 5"):
        UcfCc50(tmp_path, split="test")
    with pytest.raises(UsageError, match="fold: expected 1 to 5, got 6"):
        UcfCc50(tmp_path, fold=6)
    with pytest.raises(UsageError, match="split: expected one of train, test, got 'all'"):
        UcfCc50(tmp_path, split="all")
    with pytest.raises(SktError, match="nowhere: no such folder"):
        UcfCc50(tmp_path / "nowhere")


def test_missing_annotation(tmp_path):
    write_image(tmp_path / "1.jpg")
    with pytest.raises(SktError, match=r"1\.jpg: no annotation 1_ann\.mat$"):
        UcfCc50(tmp_path)


def test_missing_image(tmp_path):
    write_image(tmp_path / "1.jpg")
    write_ann_points(tmp_path / "1_ann.mat", np.zeros((0, 2)))
    write_ann_points(tmp_path / "2_ann.mat", np.zeros((0, 2)))
    with pytest.raises(SktError, match=r"2_ann\.mat: no image 2 for it$"):
        UcfCc50(tmp_path)


def test_the_layout_of_another_data_set(tmp_path):
    write_image(tmp_path / "1.jpg")
    write_image_info(tmp_path / "1_ann.mat", [[1.0, 1.0]])
    with pytest.raises(SktError, match=r"variables are: image_info; that is the layout of ShanghaiTech"):
        UcfCc50(tmp_path)[0]


def test_sparse_points(tmp_path):
    write_image(tmp_path / "1.jpg")
    scipy.io.savemat(tmp_path / "1_ann.mat", {"annPoints": scipy.sparse.csc_array(np.eye(2))})
    with pytest.raises(
        SktError, match=r"1_ann\.mat: expected UCF_CC_50 and UCF-QNRF: annPoints, .* got a csc"
    ):
        UcfCc50(tmp_path)[0]


def test_matlab_7_3(tmp_path):
    write_image(tmp_path / "1.jpg")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "1_ann.mat").write_bytes(header + b"\x00" * 400)
    with pytest.raises(SktError, match=r"1_ann\.mat: a MATLAB 7\.3 file; save it with save\(\.\.\., '-v7'\)"):
        UcfCc50(tmp_path)[0]


def test_as_published():
    crowd = UcfCc50(shared_path("data", "ucf_cc_50"))
    samples = [crowd[index] for index in range(len(crowd))]
    counts = [len(sample.points) + sample.outside for sample in samples]
    assert (len(samples), sum(counts), min(counts), max(counts)) == (50, 63_974, 96, 4633)
    assert {sample.name: sample.outside for sample in samples if sample.outside} == {
        "1": 2,
        "6": 1,
        "17": 1,
        "20": 1,
    }
