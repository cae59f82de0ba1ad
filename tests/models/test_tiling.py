"""What each model says about tiles is so: which are exact, with which halo, and which cannot be."""

import pytest
import torch

from skt_crowd.models import CrowdModel, build_model

EXACT = ("csrnet", "dssinet", "mcnn")
INEXACT = ("bl", "can", "sanet")


def in_tiles(model: CrowdModel, image: torch.Tensor, tile: int, halo: int) -> torch.Tensor:
    """The map of an image (1, 3, H, W) from tiles along its width."""
    stride, width = model.output_stride, image.shape[3]
    parts = []
    for start in range(0, width, tile):
        first, end = max(0, start - halo), min(width, start + tile)
        density = model(image[..., first : min(width, end + halo)])
        parts.append(density[..., (start - first) // stride : -(-(end - first) // stride)])
    return torch.cat(parts, dim=3)


def narrow(name: str) -> CrowdModel:
    torch.manual_seed(0)
    return build_model(name, {"mcnn": "1/4", "sanet": "1/8"}.get(name, "1/32")).double().eval()


@pytest.mark.parametrize("name", EXACT)
def test_no_pixel_beyond_the_halo_reaches_a_cell(name: str) -> None:
    """NaNs spread to every cell that reads them, however small their weight."""
    model = narrow(name)
    alignment, halo = model.tiling.alignment, model.tiling.halo
    assert model.tiling.exact
    assert halo % alignment == alignment % model.output_stride == alignment % model.tiling.sides == 0
    border = halo + 3 * alignment  # pixels from the left up to it are a tile with its halo on the right
    image = torch.randn(1, 3, alignment, 2 * border, dtype=torch.float64)
    for touched, kept in (
        (slice(border, None), slice(0, 3 * alignment // model.output_stride)),
        (slice(0, border), slice((border + halo) // model.output_stride, None)),
    ):
        changed = image.clone()
        changed[..., touched] = float("nan")
        density = model(changed)
        assert density.isnan().any()
        assert not density[..., kept].isnan().any()


@pytest.mark.parametrize("name", EXACT)
def test_tiles_with_their_halo_give_the_map_of_the_whole(name: str) -> None:
    model = narrow(name)
    tiling = model.tiling
    width = 2 * tiling.halo + 5 * tiling.alignment + (0 if tiling.sides > 1 else 3)
    image = torch.randn(1, 3, tiling.alignment + tiling.sides, width, dtype=torch.float64)
    whole = model(image)
    torch.testing.assert_close(
        in_tiles(model, image, 6 * tiling.alignment, tiling.halo), whole, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", INEXACT)
def test_the_others_feel_what_lies_outside_a_large_halo(name: str) -> None:
    model = narrow(name)
    assert not model.tiling.exact
    assert model.tiling.halo == 0
    assert model.tiling.reason
    image = torch.randn(1, 3, 32, 800, dtype=torch.float64)
    whole = model(image)
    tiled = in_tiles(model, image, 128, 256)
    assert (tiled - whole).abs().max() > 1e-6 * whole.abs().max()


def test_mcnn_resizes_an_image_whose_sides_are_no_multiples_of_four() -> None:
    model = narrow("mcnn")
    image = torch.randn(1, 3, 16, 203, dtype=torch.float64)
    whole, tiled = model(image), in_tiles(model, image, 40, 36)
    assert whole.shape == tiled.shape
    assert (tiled - whole).abs().max() > 1e-6 * whole.abs().max()
