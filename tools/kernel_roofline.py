"""The least time that each kernel's bytes and operations allow on named GPUs: a prediction, nothing here is measured.

    python tools/kernel_roofline.py
    python tools/kernel_roofline.py --image 1024x768 --batch 8 --bytes 2

Bytes are those that the kernel moves to and from device memory, from its loop bounds (tests/emulation counts the same
numbers while the kernel runs); operations count a fused multiply-add as two. The time is the larger of
bytes / bandwidth and operations / rate, which no kernel beats whose data is not already in the cache. Bandwidths and
float32 rates are those NVIDIA publishes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Published numbers: bandwidth in GB/s, float32 without tensor cores in TFLOP/s."""

    name: str
    bandwidth: float
    float32: float

    def microseconds(self, work: Work) -> float:
        return max(work.bytes / (self.bandwidth * 1e3), work.operations / (self.float32 * 1e6))


@dataclass(frozen=True)
class Work:
    """Of one kernel on one feature: what it moves, the least that any kernel must move, what it computes."""

    bytes: int
    least_bytes: int
    operations: int

    def __add__(self, other: Work) -> Work:
        return Work(
            self.bytes + other.bytes, self.least_bytes + other.least_bytes, self.operations + other.operations
        )


@dataclass(frozen=True)
class Feature:
    """(batch, channels, height, width) of elements of `size` bytes; sums, statistics and packed rows are float32.

    The student's own feature, before its embedding, has a quarter of the channels; `window` brings the feature to the
    size of the smallest one.
    """

    batch: int
    channels: int
    height: int
    width: int
    size: int
    window: int

    @property
    def pixels(self) -> int:
        return self.batch * self.height * self.width

    @property
    def bytes(self) -> int:
        return self.pixels * self.channels * self.size

    @property
    def cells(self) -> int:
        """Elements of the feature once it is pooled."""
        return self.batch * self.channels * -(-self.height // self.window) * -(-self.width // self.window)


GPUS = (
    Gpu("RTX 3090", 936, 35.6),
    Gpu("A100 SXM 80 GB", 2039, 19.5),
    Gpu("L4", 300, 30.3),
    Gpu("H100 SXM", 3350, 67.0),
    Gpu("RTX 5090", 1792, 104.8),
)

# The released profile's features of an image: channels and the factor that sizes are divided by.
RELEASED_PROFILE = ((64, 1), (64, 2), (128, 4), (256, 8), (512, 8), (256, 8))


def cosine_loss(x: Feature) -> Work:
    """With the gradient, in one pass: both features read, it written; one partial sum per block is left out."""
    moved = 3 * x.bytes
    return Work(moved, moved, x.pixels * x.channels * (3 * 2 + 3))


def rescale(x: Feature) -> Work:
    """In place, where the factor is not 1."""
    return Work(2 * x.bytes, 2 * x.bytes, x.pixels * x.channels)


def embedding(x: Feature) -> Work:
    """Student and teacher read; pooled maxima, their offsets and three statistics of every pixel written."""
    least = x.bytes * 5 // 4 + 5 * x.cells
    return Work(
        least + 3 * 4 * x.pixels, least, x.pixels * (2 * x.channels * x.channels // 4 + 6 * x.channels)
    )


def embedding_backward(x: Feature) -> Work:
    """The same read again with the pooled gradient; the student's gradient written; three products."""
    least = x.bytes * 6 // 4 + 5 * x.cells
    return Work(
        least + 3 * 4 * x.pixels, least, x.pixels * (6 * x.channels * x.channels // 4 + 6 * x.channels)
    )


def pool_and_pack(x: Feature) -> Work:
    """The teacher's feature read, its maxima written, normalised in a second pass over them."""
    least = x.bytes + 4 * x.cells
    return Work(least + 2 * 4 * x.cells, least, x.pixels * x.channels)


def pool_and_pack_backward(x: Feature) -> Work:
    """Gradient, maxima and offsets of the cells read; the feature's gradient written."""
    least = x.bytes + 9 * x.cells
    return Work(least, least, x.pixels * x.channels)


OF_EACH_FEATURE: dict[str, Callable[[Feature], Work]] = {
    "cosine_loss": cosine_loss,
    "rescale_": rescale,
    "embedding": embedding,
    "embedding_backward": embedding_backward,
    "pool_and_pack": pool_and_pack,
    "pool_and_pack_backward": pool_and_pack_backward,
}


def dense_fsp(maps: list[Feature], backward: bool) -> Work:
    """Two products of every pair of features, float32 without tensor cores; operands and (C, C) matrix once.

    Forward reads the packed rows of teacher and student; backward reads the student's and writes their gradient.
    """
    channels = [x.channels for x in maps] + [1]  # the density map is the last feature
    total, cells = sum(channels), maps[-1].cells // maps[-1].channels
    pairs = (total**2 - sum(count**2 for count in channels)) // 2
    least = 2 * 4 * total * cells + 4 * maps[-1].batch * total**2
    # 11 parts of 48 whole tiles, written and read: what 132 multiprocessors get (docs/kernels/dense-fsp.md).
    partial_tiles = 0 if backward else 2 * 4 * 11 * 48 * 128**2 * maps[-1].batch
    return Work(least + partial_tiles, least, 4 * pairs * cells)


def features(height: int, width: int, batch: int, size: int) -> list[Feature]:
    return [Feature(batch, c, -(-height // by), -(-width // by), size, 8 // by) for c, by in RELEASED_PROFILE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", default="576x864", metavar="HEIGHTxWIDTH", help="default: 576x864")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--bytes", type=int, default=4, choices=(2, 4), help="of an element: 2 float16, 4 float32"
    )
    options = parser.parse_args()
    height, width = map(int, options.image.split("x"))
    maps = features(height, width, options.batch, options.bytes)
    print(
        f"PREDICTION from published numbers, nothing measured: microseconds for the {len(maps)} features of a"
    )
    print(
        f"{options.image} image, batch {options.batch}, {options.bytes} bytes an element; a lower bound, not a claim.\n"
    )
    print(f"{'kernel':34}{'MB':>8}{'x least':>9}{'Mflop':>8}" + "".join(f"{gpu.name:>16}" for gpu in GPUS))
    works = {name: [work_of(x) for x in maps] for name, work_of in OF_EACH_FEATURE.items()}
    works["dense_fsp_distance"] = [dense_fsp(maps, backward=False)]
    works["dense_fsp_distance_backward"] = [dense_fsp(maps, backward=True)]
    for name, parts in works.items():
        total = sum(parts, Work(0, 0, 0))
        print(
            f"{name:34}{total.bytes / 1e6:8.1f}{total.bytes / total.least_bytes:9.2f}{total.operations / 1e6:8.0f}"
            + "".join(f"{sum(map(gpu.microseconds, parts)):16.0f}" for gpu in GPUS)
        )


if __name__ == "__main__":
    main()
