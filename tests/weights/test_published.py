"""Published checkpoints: known by their names, equal to the published networks, and clear about what does not fit."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from skt_crowd.data import normalize_image
from skt_crowd.errors import SktError
from skt_crowd.weights import load_model
from skt_crowd.weights.files import read_weights
from tests.support.shared_data import shared_path
from tests.weights import published_networks as published

WIDTHS = {2: (32, 64, 128, 256), 3: (21, 43, 85, 171), 4: (16, 32, 64, 128), 5: (13, 26, 51, 102)}
NETWORKS = {
    "bl": (published.bl_shapes(8), published.bl, "1/8-bl"),
    "can": (published.can_shapes(8), published.can, "1/8-can"),
    "dssinet": (published.dssinet_shapes(8), published.dssinet, "1/8-dssinet"),
    "skt student": (
        published.skt_student_shapes(WIDTHS[4], embeddings=False),
        published.skt_student,
        "1/4-csrnet",
    ),
    "skt student in training": (
        published.skt_student_shapes(WIDTHS[4], embeddings=True),
        published.skt_student,
        "1/4-csrnet",
    ),
}


def saved(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    torch.save(weights, folder / "published.pth")
    return folder / "published.pth"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_gives_the_same_map_here(tmp_path: Path, name: str) -> None:
    shapes, network, label = NETWORKS[name]
    weights = published.random_weights(shapes)
    model = load_model(saved(tmp_path, weights))
    assert model.label == label
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        expected = network({key: value.double() for key, value in weights.items()}, image)
        found = model.double()(image)
    assert expected.std() > 1e-3  # the signal is alive
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_mcnn_from_hdf5_gives_the_same_map_here(tmp_path: Path) -> None:
    weights = published.random_weights(published.mcnn_shapes())
    with h5py.File(tmp_path / "mcnn.h5", "w") as file:
        for name, tensor in weights.items():
            file[name] = tensor.numpy()
    model = load_model(tmp_path / "mcnn.h5")
    assert model.label == "mcnn"
    gray = np.random.default_rng(0).integers(0, 256, (40, 64), np.uint8)
    image = normalize_image(np.repeat(gray[..., None], 3, axis=2))[None]
    with torch.no_grad():
        expected = published.mcnn(weights, torch.from_numpy(gray)[None, None].float())
        torch.testing.assert_close(model(image), expected, rtol=1e-4, atol=1e-3 * expected.max().item())


@pytest.mark.parametrize("ratio", WIDTHS)
def test_students_of_every_published_width(tmp_path: Path, ratio: int) -> None:
    shapes = published.skt_student_shapes(WIDTHS[ratio], embeddings=True)
    model = load_model(saved(tmp_path, published.random_weights(shapes)))
    assert model.label == f"1/{ratio}-csrnet"


def test_wrappers_and_training_checkpoints(tmp_path: Path) -> None:
    weights = published.random_weights(published.bl_shapes(16))
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    content = {"epoch": 3, "best_mae": np.float64(68.4), "model_state_dict": wrapped}
    torch.save(content, tmp_path / "3_ckpt.tar")
    plain = load_model(saved(tmp_path, weights)).state_dict()
    for name, tensor in load_model(tmp_path / "3_ckpt.tar").state_dict().items():
        assert torch.equal(tensor, plain[name])


def test_dssinet_inside_its_wrapper_in_hdf5(tmp_path: Path) -> None:
    weights = published.random_weights(published.dssinet_shapes(16))
    with h5py.File(tmp_path / "dssinet.h5", "w") as file:
        for name, tensor in weights.items():
            file[f"model.module.{name}"] = tensor.numpy()
    assert load_model(tmp_path / "dssinet.h5").label == "1/16-dssinet"


def test_batch_norms_may_say_how_many_batches_they_saw(tmp_path: Path) -> None:
    weights = published.random_weights(published.can_shapes(16))
    weights |= {f"backend.{3 * index + 1}.num_batches_tracked": torch.tensor(7) for index in range(6)}
    assert load_model(saved(tmp_path, weights)).get_buffer("backend.1.num_batches_tracked") == 7


def test_a_mismatch_is_reported_in_the_file_s_own_names(tmp_path: Path) -> None:
    weights = published.random_weights(published.bl_shapes(16))
    del weights["features.5.bias"]
    weights["reg_layer.0.weight"] = torch.zeros(16, 32, 1, 1)
    weights["reg_layer.6.weight"] = torch.zeros(1)
    with pytest.raises(SktError) as error:
        load_model(saved(tmp_path, weights))
    assert str(error.value).endswith(
        "weights do not fit: missing features.5.bias; unexpected reg_layer.6.weight; "
        "other shapes: reg_layer.0.weight is (16, 32, 1, 1), expected (16, 32, 3, 3)"
    )


def test_widths_of_no_rate_are_named(tmp_path: Path) -> None:
    shapes = published.skt_student_shapes((16, 32, 64, 77), embeddings=False)
    with pytest.raises(
        SktError, match=r"no channel preservation rate gives these widths of csrnet: .*77 of 512"
    ):
        load_model(saved(tmp_path, published.random_weights(shapes)))


def test_weights_of_something_else(tmp_path: Path) -> None:
    path = saved(tmp_path, {"layer1.0.conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)})
    message = (
        f"{path}: not the weights of a known model (bl, can, csrnet, dssinet, mcnn, sanet); "
        "found fc.bias, layer1.0.conv1.weight"
    )
    with pytest.raises(SktError, match=f"^{re.escape(message)}$"):
        load_model(path)


@pytest.mark.parametrize("kept", [8, 100, 1000])
def test_truncated_hdf5(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.h5"
    with h5py.File(path, "w") as file:
        file["DME.fuse.0.conv.weight"] = np.zeros((1, 30, 1, 1), np.float32)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SktError, match=r"cut\.h5: not a complete HDF5 file of tensors"):
        load_model(path)


def test_hdf5_groups_become_dotted_names_and_links_outside_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones(3)
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        file["first/second/weight"] = np.ones(2, np.float32)
        file["first/outside"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
    assert list(read_weights(tmp_path / "groups.h5")) == ["first.second.weight"]


def test_reading_a_file_leaves_the_random_numbers_alone_however_often_it_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, published.random_weights(published.bl_shapes(16)))
    following = []
    for _ in range(2):
        torch.manual_seed(0)
        load_model(path)
        following.append(torch.rand(()).item())
    assert following[0] == following[1]


@pytest.mark.parametrize("file", ["mcnn_shtechA_660.h5", "mcnn_shtechB_110.h5"])
def test_the_published_mcnn_weights(file: str) -> None:
    path = shared_path("weights", file)
    model, stored = load_model(path), read_weights(path)
    assert model.label == "mcnn"
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(
        t.numel() for t in stored.values()
    )
    assert torch.equal(model.get_parameter("columns.2.8.weight"), stored["branch3.5.conv.weight"])
