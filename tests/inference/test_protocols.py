"""Protocols: what each does to an image, what it compares with, and what it writes down."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from skt_crowd.data import CrowdSample, SigmaRule, make_density
from skt_crowd.errors import UsageError
from skt_crowd.evaluation import evaluate, write_csv, write_json
from skt_crowd.inference import PROTOCOLS, Predictor, find_protocol
from skt_crowd.models import CrowdModel, CSRNet, Tiling


class Pixels(CrowdModel):
    """One person in every pixel of what it is shown, on cells of 8 x 8 pixels; remembers the sizes."""

    name, output_stride, tiling = "pixels", 8, Tiling(True, 8, 16, "a cell sees itself")

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, int]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.shown.append((image.shape[2], image.shape[3]))
        return torch.nn.functional.avg_pool2d(
            torch.ones_like(image[:, :1]), 8, ceil_mode=True, divisor_override=1
        )


class One:
    """A data set of one image."""

    kind = "one"
    names = ("square",)

    def __init__(self, height: int, width: int, points: np.ndarray) -> None:
        self.sample = CrowdSample("square", np.zeros((height, width, 3), np.uint8), points, 0)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> CrowdSample:
        return self.sample

    def image_path(self, index: int) -> Path | None:
        return None


@pytest.mark.parametrize(
    ("name", "shown", "count"),
    [
        ("whole", [(260, 600)], 260 * 600),
        ("tiles-halo", [(260, 528), (260, 104)], 260 * 600),
        ("released-tiles-512", [(260, 300)] * 2, 260 * 600),
        ("can-quadrants", [(130, 300)] * 4, 260 * 600),
        ("bl-resize", [(512, 1182)], 512 * 1182),
        ("dm-count-nwpu-resize", [(384, 886)], 384 * 886),
        ("c3-resize", [(256, 592)], 256 * 592),
    ],
)
def test_what_a_model_is_shown(name: str, shown: list[tuple[int, int]], count: int) -> None:
    model = Pixels()
    prediction = PROTOCOLS[name].predict(Predictor(model), np.zeros((260, 600, 3), np.uint8))
    assert model.shown[-len(shown) :] == shown  # before them, perhaps two small images to plan the memory by
    assert prediction.count == count
    assert (prediction.height, prediction.width, prediction.passes) == (260, 600, len(shown))
    # Wherever the map came from, it lies evenly over the image.
    quarters = prediction.sums(np.array([0.0, 130.0, 260.0]), np.array([0.0, 300.0, 600.0]))
    np.testing.assert_allclose(quarters, count / 4, rtol=0.02)


def test_resizing_reads_the_image_again() -> None:
    torch.manual_seed(0)
    model = CSRNet("1/16")
    image = np.random.default_rng(0).integers(0, 256, (300, 40, 3), dtype=np.uint8)
    from PIL import Image

    shown = np.asarray(Image.fromarray(image).resize((512, 3840), Image.Resampling.BICUBIC))
    found = PROTOCOLS["bl-resize"].predict(Predictor(model), image)
    assert found.count == pytest.approx(Predictor(model).whole(shown).count)


def test_the_truth_is_the_points_or_a_map_that_loses_people_at_the_border() -> None:
    points = np.array([[0.5, 0.5], [30.0, 40.0], [35.0, 44.0]])
    crowd = One(96, 80, points)
    by_points = evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS["whole"])
    assert by_points.images[0].actual == 3
    released = evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS["released-tiles-512"])
    widths = SigmaRule(beta=1.0, neighbors=1, maximum=30.0).sigmas(points)
    expected = make_density(points, widths, (96, 80), boundary="clip").sum().item()
    assert released.images[0].actual == pytest.approx(expected)
    assert expected < 2.5
    again = find_protocol("released-tiles-512", truth="points")
    assert evaluate(Pixels(), crowd, [0], protocol=again).images[0].actual == 3


def test_a_region_of_interest_counts_what_is_inside() -> None:
    """The left 20 of 80 columns: 20 / 80 of the map, one of two people."""
    crowd = One(96, 80, np.array([[5.0, 5.0], [70.0, 5.0]]))
    region = np.zeros((96, 80), bool)
    region[:, :20] = True
    (result,) = evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS["roi"], region=region).images
    assert result.predicted == pytest.approx(96 * 20)
    assert result.actual == 1
    assert result.game[0] == pytest.approx(96 * 20 - 1)
    with pytest.raises(UsageError, match="square: protocol roi needs a region of interest; there is none"):
        evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS["roi"])
    with pytest.raises(
        UsageError, match=r"square: the region of interest is \(H, W\) = \(80, 96\), the image is"
    ):
        evaluate(Pixels(), crowd, [0], region=region.T)


@pytest.mark.parametrize("quality", ["cells", "pixels"])
def test_map_quality_is_measured_where_it_was_asked_for(quality: str, tmp_path: Path) -> None:
    crowd = One(96, 80, np.array([[20.0, 20.0], [60.0, 50.0], [61.0, 58.0]]))
    found = evaluate(Pixels(), crowd, [0], map_quality=quality)  # type: ignore[arg-type]
    assert found.psnr is not None
    assert found.psnr < 0  # 64 people in every cell are nothing like three people
    assert found.ssim is not None
    assert found.ssim < 0.1
    write_json(tmp_path / "e.json", found)
    assert json.loads((tmp_path / "e.json").read_text())["map_quality"]["compared_on"] == quality
    assert "map_quality" not in evaluate(Pixels(), crowd, [0]).protocol.settings()


def test_results_name_the_protocol_and_its_settings(tmp_path: Path) -> None:
    crowd = One(96, 80, np.array([[5.0, 5.0]]))
    for name, expected in (
        ("bl-resize", {"resize": {"rule": "ClampShortSide", "minimum": 512, "maximum": 2048}}),
        ("released-tiles-512", {"cut": "evenly", "tile": 512, "truth": "map"}),
    ):
        write_json(tmp_path / "e.json", evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS[name]))
        written = json.loads((tmp_path / "e.json").read_text())["protocol"]
        assert written["name"] == name
        assert expected.items() <= written.items()
    write_csv(tmp_path / "e.csv", evaluate(Pixels(), crowd, [0], protocol=PROTOCOLS["released-tiles-512"]))
    actual = (tmp_path / "e.csv").read_text().splitlines()[1].split(",")[2]
    assert 0 < float(actual) < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "half"}, "protocol: expected one of whole, tiles-halo, .*, got 'half'"),
        ({"name": "whole", "tile": 64}, "tile: protocol whole has no tiles to choose the size of"),
        ({"name": "tiles-halo", "tile": 0}, "tile: expected at least 1 pixel, got 0"),
        ({"name": "whole", "truth": "sum"}, "truth: expected points or map, got 'sum'"),
    ],
)
def test_bad_requests(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_protocol(**arguments)  # type: ignore[arg-type]
