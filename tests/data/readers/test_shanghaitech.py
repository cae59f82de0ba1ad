"""ShanghaiTech as found on disks, and annotations that are not as they should be."""

import numpy as np
import pytest
import scipy.io

from skt_crowd.data import ShanghaiTech
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_ann_points, write_image, write_image_info, write_shanghaitech
from tests.support.shared_data import shared_path


def open_one(tmp_path, points):
    write_image(tmp_path / "images/IMG_1.jpg")
    write_image_info(tmp_path / "ground-truth/GT_IMG_1.mat", points)
    return ShanghaiTech(tmp_path)[0]


def test_sample(tmp_path):
    write_shanghaitech(tmp_path, {"IMG_10": [[1, 2]], "IMG_2": [[1.5, 2.5], [1.5, 2.5], [8, 1], [-0.1, 0]]})
    crowd = ShanghaiTech(tmp_path)
    assert (crowd.kind, len(crowd), crowd.names) == ("shanghaitech", 2, ["IMG_2", "IMG_10"])
    sample = crowd[0]
    assert sample.name == "IMG_2"
    assert sample.image.shape == (6, 8, 3)
    assert sample.points.tolist() == [[1.5, 2.5], [1.5, 2.5]]  # duplicates stay
    assert sample.points.dtype == np.float64
    assert sample.outside == 2
    assert crowd.image_path(0) == tmp_path / "images/IMG_2.jpg"


@pytest.mark.parametrize("annotations", ["ground-truth", "ground_truth"])
@pytest.mark.parametrize("part", ["part_A", "part_A_final"])
@pytest.mark.parametrize("level", ["", "{part}", "{part}/train_data"])
def test_root_at_any_level(tmp_path, part, annotations, level):
    write_shanghaitech(tmp_path / part / "train_data", {"IMG_1": [[1, 1]]}, annotations=annotations)
    assert len(ShanghaiTech(tmp_path / level.format(part=part))) == 1


def test_split_and_part_are_chosen(tmp_path):
    for part, split, count in (("A", "train", 1), ("A", "test", 2), ("B", "train", 3), ("B", "test", 4)):
        names = {f"IMG_{number}": [] for number in range(count)}
        write_shanghaitech(tmp_path / f"part_{part}" / f"{split}_data", names)
        assert len(ShanghaiTech(tmp_path, part=part, split=split)) == count
    with pytest.raises(UsageError, match="holds parts A and B; say which with part"):
        ShanghaiTech(tmp_path)
    with pytest.raises(UsageError, match="is test_data, but the split asked for is 'train'"):
        ShanghaiTech(tmp_path / "part_A/test_data")
    with pytest.raises(UsageError, match="is part A, but the part asked for is B"):
        ShanghaiTech(tmp_path / "part_A", part="B")


def test_nobody(tmp_path):
    sample = open_one(tmp_path, np.zeros((0, 0)))
    assert (sample.points.shape, sample.outside) == ((0, 2), 0)


def test_whole_numbers_become_float64(tmp_path):
    points = open_one(tmp_path, np.array([[3, 4]], np.uint16)).points
    assert (points.dtype, points.tolist()) == (np.float64, [[3.0, 4.0]])


def test_one_pixel_image(tmp_path):
    write_image(tmp_path / "images/a.png", 1, 1)
    write_image_info(tmp_path / "ground-truth/GT_a.mat", [[0.5, 0.5], [1.0, 0.5]])
    sample = ShanghaiTech(tmp_path)[0]
    assert (sample.image.shape, sample.points.tolist(), sample.outside) == ((1, 1, 3), [[0.5, 0.5]], 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_must_be_finite(tmp_path, value):
    with pytest.raises(
        SktError, match=rf"GT_IMG_1\.mat: point 2 of 2 is \(1, {value:g}\), not a finite position"
    ):
        open_one(tmp_path, [[1.0, 1.0], [1.0, value]])


def test_transposed_points(tmp_path):
    with pytest.raises(
        SktError, match=r"expected points as \(people, 2\) \[x, y\], got an array of \(2, 3\)"
    ):
        open_one(tmp_path, np.zeros((2, 3)))


def test_text_instead_of_points(tmp_path):
    with pytest.raises(SktError, match="expected numbers as coordinates"):
        open_one(tmp_path, np.array(["ab", "cd"]))


def test_number_must_agree(tmp_path):
    write_image(tmp_path / "images/IMG_1.jpg")
    write_image_info(tmp_path / "ground-truth/GT_IMG_1.mat", [[1.0, 1.0]], number=5)
    with pytest.raises(SktError, match=r"holds 1 points, but its image_info\.number is \[\[5\]\]"):
        ShanghaiTech(tmp_path)[0]


def test_the_layout_of_another_data_set(tmp_path):
    write_image(tmp_path / "images/IMG_1.jpg")
    write_ann_points(tmp_path / "ground-truth/GT_IMG_1.mat", [[1.0, 1.0]])
    with pytest.raises(
        SktError,
        match=r"GT_IMG_1\.mat: expected ShanghaiTech: image_info\{1\}\.location, .* "
        r"the file's variables are: annPoints; that is the layout of UCF_CC_50 and UCF-QNRF",
    ):
        ShanghaiTech(tmp_path)[0]


@pytest.mark.parametrize("value", [3.0, "text", {"location": [[1, 2]]}])
def test_image_info_of_another_layout(tmp_path, value):
    write_image(tmp_path / "images/IMG_1.jpg")
    (tmp_path / "ground-truth").mkdir()
    scipy.io.savemat(tmp_path / "ground-truth/GT_IMG_1.mat", {"image_info": value})
    with pytest.raises(SktError, match="its variable image_info is not laid out as expected"):
        ShanghaiTech(tmp_path)[0]


@pytest.mark.parametrize("content", [b"", b"text, not MATLAB", b"MATLAB 5.0 MAT-file" + b"\x00" * 200])
def test_damaged_annotation(tmp_path, content):
    write_image(tmp_path / "images/IMG_1.jpg")
    (tmp_path / "ground-truth").mkdir()
    (tmp_path / "ground-truth/GT_IMG_1.mat").write_bytes(content)
    with pytest.raises(SktError, match=r"GT_IMG_1\.mat: ") as caught:
        ShanghaiTech(tmp_path)[0]
    assert "\n" not in str(caught.value)


def test_truncated_annotation(tmp_path):
    write_shanghaitech(tmp_path, {"IMG_1": [[1, 2]] * 50})
    path = tmp_path / "ground-truth/GT_IMG_1.mat"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SktError, match=r"GT_IMG_1\.mat: not a readable MATLAB file"):
        ShanghaiTech(tmp_path)[0]


def test_missing_annotation(tmp_path):
    write_shanghaitech(tmp_path, {f"IMG_{number}": [] for number in (1, 2, 3)})
    (tmp_path / "ground-truth/GT_IMG_2.mat").unlink()
    (tmp_path / "ground-truth/GT_IMG_3.mat").unlink()
    with pytest.raises(SktError, match=r"IMG_2\.jpg: no annotation GT_IMG_2\.mat \(and 1 more like it\)"):
        ShanghaiTech(tmp_path)


def test_missing_image(tmp_path):
    write_shanghaitech(tmp_path, {"IMG_1": [], "IMG_2": []})
    (tmp_path / "images/IMG_2.jpg").unlink()
    with pytest.raises(SktError, match=r"GT_IMG_2\.mat: no image IMG_2 for it$"):
        ShanghaiTech(tmp_path)


def test_two_images_of_one_name(tmp_path):
    write_shanghaitech(tmp_path, {"IMG_1": []})
    write_image(tmp_path / "images/IMG_1.png")
    with pytest.raises(SktError, match=r"IMG_1\.jpg and IMG_1\.png would both be named IMG_1"):
        ShanghaiTech(tmp_path)


def test_hidden_files_are_passed_over(tmp_path):
    write_shanghaitech(tmp_path, {"IMG_1": []})
    (tmp_path / "images/._IMG_1.jpg").write_bytes(b"macOS leaves such files")
    assert len(ShanghaiTech(tmp_path)) == 1


def test_folders_that_are_missing(tmp_path):
    with pytest.raises(SktError, match="nowhere: no such folder"):
        ShanghaiTech(tmp_path / "nowhere")
    with pytest.raises(SktError, match=r"no folder train_data; expected ShanghaiTech"):
        ShanghaiTech(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(SktError, match=r"images: no images"):
        ShanghaiTech(tmp_path)
    write_image(tmp_path / "images/IMG_1.jpg")
    with pytest.raises(SktError, match="no folder ground-truth or ground_truth beside images"):
        ShanghaiTech(tmp_path)


def test_words_that_are_unknown(tmp_path):
    with pytest.raises(UsageError, match="split: expected one of train, test, got 'val'"):
        ShanghaiTech(tmp_path, split="val")
    with pytest.raises(UsageError, match="part: expected A or B, got 'C'"):
        ShanghaiTech(tmp_path, part="C")


def test_part_a_as_published():
    crowd = ShanghaiTech(shared_path("data", "shanghaitech"), part="A")
    counts, shapes, gray, outside = [], set(), set(), 0
    for sample in (crowd[index] for index in range(len(crowd))):
        counts.append(len(sample.points))
        shapes.add(sample.image.shape)
        outside += sample.outside
        red, green, blue = (sample.image[::4, ::4, channel] for channel in range(3))
        if np.array_equal(red, green) and np.array_equal(green, blue):
            gray.add(sample.name)
    assert (len(counts), sum(counts), min(counts), max(counts), outside) == (300, 162_413, 33, 3138, 0)
    assert len(shapes) == 189
    # The eleven grayscale files; a dozen others are colour files that hold only gray.
    assert {f"IMG_{number}" for number in (4, 13, 17, 35, 40, 106, 130, 153, 205, 213, 298)} <= gray
