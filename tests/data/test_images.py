"""Reading images: sizes, orientations, sample types, and files that are none."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from skt_crowd.data import normalize_image, read_image
from skt_crowd.errors import SktError


def png_header(width: int, height: int) -> bytes:
    """A PNG that states a size and holds no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_formats_are_read_exactly(tmp_path, colours, suffix):
    Image.fromarray(colours).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, colours)


def test_one_pixel(tmp_path):
    Image.fromarray(np.full((1, 1, 3), 9, np.uint8)).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png")).tolist() == [[[9, 9, 9]]]


def test_grayscale_becomes_three_equal_channels(tmp_path):
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(gray).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.stack([gray] * 3, axis=2))


def test_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[:, :, 0].tolist() == [[255, 0]]


def test_alpha_is_dropped(tmp_path, colours):
    alpha = np.full((5, 7, 1), 3, np.uint8)
    Image.fromarray(np.concatenate([colours, alpha], axis=2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colours)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\xff"])
def test_palette_is_looked_up(tmp_path, recwarn, transparency):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1, 1])
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **options)
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50], [200, 100, 50]]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight(tmp_path, suffix):
    samples = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    Image.fromarray(samples).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}")[0, :, 1].tolist() == [0, 0, 1, 1, 128, 255]


def test_wider_samples_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SktError, match=r"a\.tif: float32 samples; expected 8 or 16 bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [  # EXIF 2.32, tag 0x0112: what a viewer shows of the stored [[1, 2, 3], [4, 5, 6]]
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
        (77, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png")[:, :, 0].tolist() == shown


@pytest.mark.filterwarnings("ignore:.*EXIF.*", "ignore:Truncated")
def test_damaged_exif_is_no_reason_to_refuse(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "a.png", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.png").shape == (5, 7, 3)


def test_missing_file(tmp_path):
    with pytest.raises(SktError, match=r"none\.jpg: no such file$"):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_not_an_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(
        SktError, match=r"a\.jpg: not an image in a known format \(JPEG, PNG, BMP, TIFF, WEBP\)$"
    ):
        read_image(tmp_path / "a.jpg")


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(SktError, match=r"cannot read the image: .*directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SktError, match=rf"a\.{suffix}: cannot read the image: .*truncated") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(12_000, 9_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_huge_header_is_refused_before_decoding(tmp_path, monkeypatch, recwarn, width, height):
    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    (tmp_path / "a.png").write_bytes(png_header(width, height) + b"\x00\x00\x00\x63IDAT" + b"\x00" * 99)
    with pytest.raises(SktError, match=r"a\.png: .*pixels"):
        read_image(tmp_path / "a.png")
    assert not recwarn.list


def test_max_pixels_is_the_limit(tmp_path):
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", max_pixels=12).shape == (3, 4, 3)
    with pytest.raises(SktError, match=r"4 x 3 pixels, more than the 11 that are read at most"):
        read_image(tmp_path / "a.png", max_pixels=11)


def test_normalize_image():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (255, 128, 0)
    tensor = normalize_image(image)
    assert (tensor.dtype, tuple(tensor.shape), tensor.is_contiguous()) == (torch.float32, (3, 2, 3), True)
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    assert tensor[:, 0, 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_normalize_image_takes_views():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    assert torch.equal(normalize_image(image[:, ::-1]), normalize_image(image).flip(2))


@pytest.mark.parametrize("image", [np.zeros((3, 2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_normalize_image_says_what_it_expects(image):
    with pytest.raises(ValueError, match=r"image: expected \(H, W, 3\) uint8, got"):
        normalize_image(image)
