"""Your own images: every format of points, and everything that can be wrong with it."""

import numpy as np
import pytest
from PIL import Image

from skt_crowd.data import ImageFolder
from skt_crowd.errors import SktError, UsageError
from tests.data.crowd_files import write_image


def write(path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def open_shared(tmp_path, text: str) -> ImageFolder:
    write_image(tmp_path / "a.jpg")
    write(tmp_path / "points.csv", text)
    return ImageFolder(tmp_path)


def open_own(tmp_path, suffix: str, text: str) -> ImageFolder:
    write_image(tmp_path / "a.jpg")
    write(tmp_path / f"a.{suffix}", text)
    return ImageFolder(tmp_path)


def test_one_csv_for_all(tmp_path):
    write_image(tmp_path / "b.png")
    write_image(tmp_path / "empty.jpg")
    crowd = open_shared(
        tmp_path, "image,x,y\nb.png,1,2\na.jpg,1.5,2.5\nb.png,1,2\n\nempty.jpg,,\na.jpg,-3,0\na.jpg,1e0,0\n"
    )
    assert (crowd.kind, crowd.names) == ("folder", ["a", "b", "empty"])
    assert [sample.points.tolist() for sample in crowd] == [[[1.5, 2.5], [1.0, 0.0]], [[1.0, 2.0]] * 2, []]
    assert [sample.outside for sample in crowd] == [1, 0, 0]
    assert crowd[2].points.shape == (0, 2)
    assert crowd.image_path(1) == tmp_path / "b.png"


def test_csv_as_spreadsheets_write_it(tmp_path):
    text = '\ufeffId, Y ,Image,X\r\n1,2,"a.jpg", 3 \r\n'
    assert open_shared(tmp_path, text)[0].points.tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("csv", "x,y\n1,2\n3.5,4\n"),
        ("csv", "y,x,label\n2,1,person\n4,3.5,person"),
        ("json", "[[1, 2], [3.5, 4]]"),
        ("json", '{"points": [[1, 2], [3.5, 4]], "by": "me"}'),
    ],
)
def test_one_file_for_each(tmp_path, suffix, text):
    assert open_own(tmp_path, suffix, text)[0].points.tolist() == [[1.0, 2.0], [3.5, 4.0]]


@pytest.mark.parametrize(("suffix", "text"), [("csv", "x,y\n"), ("json", "[]"), ("json", '{"points": []}')])
def test_nobody(tmp_path, suffix, text):
    assert open_own(tmp_path, suffix, text)[0].points.shape == (0, 2)


def test_points_are_in_the_image_as_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: 8 wide, 6 high; shown 6 wide, 8 high
    write_image(tmp_path / "a.jpg", 6, 8, exif=exif)
    write(tmp_path / "a.csv", "x,y\n5.5,7.5\n7.5,5.5\n")
    sample = ImageFolder(tmp_path)[0]
    assert sample.image.shape == (8, 6, 3)
    assert (sample.points.tolist(), sample.outside) == ([[5.5, 7.5]], 1)


def test_split_folders(tmp_path):
    for split, count in (("train", 2), ("test", 1), ("night", 3)):
        for number in range(count):
            write_image(tmp_path / split / f"{number}.jpg")
            write(tmp_path / split / f"{number}.json", "[]")
        assert len(ImageFolder(tmp_path, split=split)) == count
    with pytest.raises(SktError, match=r"no folder val$"):
        ImageFolder(tmp_path, split="val")
    with pytest.raises(UsageError, match="split: expected the name of a folder below"):
        ImageFolder(tmp_path, split="../elsewhere")


def test_a_plain_folder_is_the_same_for_every_split(tmp_path):
    open_own(tmp_path, "json", "[]")
    assert len(ImageFolder(tmp_path, split="test")) == 1


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "sub/a.jpg", "..\\a.jpg", "..", ""])
def test_names_that_leave_the_folder(tmp_path, name):
    write_image(tmp_path.parent / "a.jpg")
    with pytest.raises(SktError, match=r"points\.csv, line 3: .* is not the name of an image in"):
        open_shared(tmp_path, f"image,x,y\na.jpg,1,1\n{name},1,1\n")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "left", "", "1;2", "0x10"])
def test_shared_coordinates_must_be_finite_numbers(tmp_path, value):
    with pytest.raises(SktError, match=r"points\.csv, line 3: y is '.*', expected a finite number"):
        open_shared(tmp_path, f"image,x,y\na.jpg,1,1\na.jpg,1,{value}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected a header with the columns image,x,y, got ''"),
        ("a.jpg,1,2\n", r"line 1: expected a header with the columns image,x,y, got 'a\.jpg,1,2'"),
        ("image;x;y\na.jpg;1;2\n", r"line 1: expected a header .* got 'image;x;y'"),
        ("image,x,x,y\n", r"line 1: expected a header"),
        ("image,x,y\n\na.jpg,1\n", r"line 3: 2 fields, expected image,x,y"),
        ("image,x,y\nb.jpg,1,2\n", r"line 2: no image b\.jpg in"),
        ("image,x,y\n", r"no line for a\.jpg; if nobody is in it, add 'a\.jpg,,'"),
        ('image,x,y\n"a.jpg,1,2\n', r"line 2: not CSV"),
    ],
)
def test_shared_csv_with_mistakes(tmp_path, text, message):
    with pytest.raises(SktError, match=rf"points\.csv.*{message}") as caught:
        open_shared(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("csv", "1,2\n", "line 1: expected a header with the columns x,y, got '1,2'"),
        ("csv", "x,y\n1,one\n", "line 2: y is 'one', expected a finite number"),
        ("csv", "x,y\n1,\n", "line 2: y is '', expected a finite number"),
        ("json", "", "line 1: not JSON"),
        ("json", "[[1, 2],\n[3,]]", "line 2: not JSON"),
        ("json", "7", r"expected \[\[x, y\], \.\.\.\] or"),
        ("json", '{"shapes": []}', r"expected \[\[x, y\], \.\.\.\] or"),
        ("json", "[[1, 2], [3]]", r"point 2 is \[3\], expected two finite numbers \[x, y\]"),
        ("json", '[[1, "2"]]', "point 1 is .*, expected two finite numbers"),
        ("json", "[[1, NaN]]", "point 1 is .*, expected two finite numbers"),
        ("json", "[[1, 1e999]]", "point 1 is .*, expected two finite numbers"),
        ("json", f"[[1, 1{'0' * 400}]]", "point 1 is .*, expected two finite numbers"),
        ("json", f"[[1, 1{'0' * 5000}]]", "not JSON that can be read"),
        ("json", "[[true, 1]]", "point 1 is .*, expected two finite numbers"),
        ("json", "[" * 200_000, "not JSON"),
    ],
)
def test_own_files_with_mistakes(tmp_path, suffix, text, message):
    with pytest.raises(SktError, match=rf"a\.{suffix}.*{message}") as caught:
        open_own(tmp_path, suffix, text)
    assert "\n" not in str(caught.value)


def test_points_that_are_not_text(tmp_path):
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.csv").write_bytes(b"x,y\n\xff\xfe1,2\n")
    with pytest.raises(SktError, match=r"a\.csv: not a text file in UTF-8"):
        ImageFolder(tmp_path)


def test_image_without_points(tmp_path):
    write_image(tmp_path / "a.jpg")
    with pytest.raises(SktError, match=r"a\.jpg: no annotation a\.csv or a\.json, and no points\.csv$"):
        ImageFolder(tmp_path)


def test_points_without_an_image(tmp_path):
    write(tmp_path / "b.json", "[]")
    with pytest.raises(SktError, match=r"b\.json: no image b for it$"):
        open_own(tmp_path, "csv", "x,y\n")


def test_points_twice(tmp_path):
    write(tmp_path / "a.json", "[]")
    with pytest.raises(SktError, match=r"a\.csv and a\.json both annotate a"):
        open_own(tmp_path, "csv", "x,y\n")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SktError, match=r"points\.csv: there is a\.json too"):
        open_shared(tmp_path, "image,x,y\na.jpg,,\n")


def test_folder_without_images(tmp_path):
    with pytest.raises(SktError, match="no images"):
        ImageFolder(tmp_path)
    with pytest.raises(SktError, match="nowhere: no such folder"):
        ImageFolder(tmp_path / "nowhere")


def test_unreadable_image_is_named(tmp_path):
    write(tmp_path / "a.jpg", "not an image")
    write(tmp_path / "a.json", "[]")
    with pytest.raises(SktError, match=r"a\.jpg: not an image"):
        ImageFolder(tmp_path)[0]


def test_samples_do_not_share_memory(tmp_path):
    crowd = open_own(tmp_path, "json", "[[1, 2]]")
    crowd[0].points[:] = np.nan
    assert crowd[0].points.tolist() == [[1.0, 2.0]]
