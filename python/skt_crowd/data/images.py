"""Read an image file into an array, and an array into the tensor a model expects."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from skt_crowd.errors import SktError, one_line

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Only formats whose decoders are plain code: Pillow's full list includes ones that start other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")

_STRIP = 512  # rows that are converted at a time

_EXIF_ORIENTATION = 0x0112
# What turns the pixels (H, W, 3) upright for each EXIF orientation but 1, as views.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def read_image(path: Path | str, *, max_pixels: int = 100_000_000) -> np.ndarray:
    """Read a JPEG, PNG, BMP, TIFF or WebP file as (H, W, 3) uint8 RGB, upright.

    The EXIF orientation is applied, so the array is the image as viewers and annotation tools show it.
    Grayscale becomes three equal channels, 16-bit samples become 8-bit ones, palettes are looked up, an
    alpha channel is dropped, and of several frames the first is taken.

    Args:
        path: the file.
        max_pixels: the largest H * W that is decoded. The size comes from the file's header and is checked
            before any pixel is decoded; Pillow's own limit (about 179 million) applies on top.

    Raises:
        SktError: the file is missing, not an image, truncated, or too large; the message names file and cause.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "gray.png"
        ...     Image.fromarray(np.full((2, 5), 7, np.uint8)).save(path)
        ...     read_image(path).shape
        (2, 5, 3)
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; max_pixels is the limit that counts here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_FORMATS)
        with image:
            width, height = image.size
            if width * height > max_pixels:
                raise SktError(
                    f"{path}: {width} x {height} pixels, more than the {max_pixels:,} that are read at most"
                )
            return _upright(image, _to_rgb(image, path))
    except SktError:
        raise
    except FileNotFoundError:
        raise SktError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise SktError(f"{path}: not an image in a known format ({', '.join(_FORMATS)})") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise SktError(f"{path}: cannot read the image: {one_line(error)}") from error


def read_region(path: Path | str) -> np.ndarray:
    """A region of interest, (H, W) bool: True where the image is nearer to white than to black.

    Raises:
        SktError: the file is not an image, or black everywhere, so that nobody would be counted.
    """
    region: np.ndarray = read_image(path).mean(axis=2) > 127.5
    if not region.any():
        raise SktError(f"{path}: a region of interest must be white somewhere, and this image is black")
    return region


def normalize_image(image: np.ndarray) -> torch.Tensor:
    """(image / 255 - mean) / standard deviation of ImageNet for each channel: the input that our models expect.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (3, H, W) float32, contiguous.

    Example:
        >>> normalize_image(np.zeros((2, 2, 3), np.uint8))[0, 0, 0].item()
        -2.1179039478302
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: expected (H, W, 3) uint8, got {tuple(image.shape)} {image.dtype}")
    mean = torch.tensor(IMAGENET_MEAN).mul(255).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).mul(255).view(3, 1, 1)
    channels = image.transpose(2, 0, 1).copy()  # (3, H, W), without a mirrored view's negative strides
    return torch.from_numpy(channels).to(torch.float32).sub_(mean).div_(std)


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    """The decoded pixels as (H, W, 3) uint8, not yet upright."""
    if image.mode == "F" or image.mode.startswith("I"):
        gray = _eight_bits(np.asarray(image), path)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "P":
        # A palette may carry transparency, which Pillow resolves by way of RGBA only.
        image = image.convert("RGBA")
    image.load()
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP):  # a whole copy in between would double a large image's memory
        bottom = min(top + _STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels


def _eight_bits(samples: np.ndarray, path: Path) -> np.ndarray:
    """16-bit gray (H, W) to uint8: 65535 becomes 255. Wider samples have no agreed white and are refused."""
    if samples.dtype.kind == "f" or samples.min() < 0 or samples.max() > 65535:
        raise SktError(f"{path}: {samples.dtype} samples; expected 8 or 16 bits for each channel")
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _upright(image: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """Apply the file's EXIF orientation to its decoded pixels."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block does not make the image unreadable
        orientation = 1
    transpose = _UPRIGHT.get(orientation)
    return pixels if transpose is None else np.ascontiguousarray(transpose(pixels))
