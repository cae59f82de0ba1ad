"""``skt import``: a published checkpoint becomes a file that says what it is."""

from pathlib import Path

import torch

from skt_crowd.models import build_model
from skt_crowd.weights import load_model
from skt_crowd.weights.files import read_metadata
from tests.cli.command_line import refused, skt


def published(folder: Path) -> Path:
    weights = {
        f"module.{name}": tensor for name, tensor in build_model("csrnet", "1/16").state_dict().items()
    }
    torch.save({"state_dict": weights, "epoch": 3}, folder / "model_best.pth.tar")
    return folder / "model_best.pth.tar"


def test_a_published_checkpoint_becomes_safetensors(tmp_path: Path) -> None:
    checkpoint = published(tmp_path)
    ended = skt("import", checkpoint, "--output", tmp_path / "csrnet.safetensors")
    assert ended.code == 0, ended
    assert ended.out == f"{tmp_path / 'csrnet.safetensors'}: 1/16-csrnet, 63,909 parameters\n"
    metadata = read_metadata(tmp_path / "csrnet.safetensors")
    assert metadata["skt_crowd.architecture"] == "csrnet"
    assert metadata["imported from"] == "model_best.pth.tar"
    expected = load_model(checkpoint).state_dict()
    found = load_model(tmp_path / "csrnet.safetensors").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").write_bytes(b"kept")
    message = refused(skt("import", published(tmp_path), "-o", tmp_path / "old.safetensors"), 2)
    assert message.endswith("old.safetensors: exists already; choose another name")
    assert (tmp_path / "old.safetensors").read_bytes() == b"kept"


def test_weights_of_something_else(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    message = refused(skt("import", tmp_path / "resnet.pth", "-o", tmp_path / "out.safetensors"), 1)
    assert "not the weights of a known model" in message
    assert not (tmp_path / "out.safetensors").exists()
