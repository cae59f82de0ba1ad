"""Checkpoints: round trips, other people's files, damaged files, full disks."""

import errno
import os
import re
from pathlib import Path
from typing import BinaryIO

import pytest
import safetensors.torch
import torch

from skt_crowd.errors import SktError, UsageError
from skt_crowd.files import atomic_write
from skt_crowd.models import CSRNet, build_model
from skt_crowd.weights import load_model, save_model
from skt_crowd.weights.files import read_metadata, read_weights
from tests.support.shared_data import shared_path


@pytest.fixture(scope="module")
def model() -> CSRNet:
    torch.manual_seed(0)
    return CSRNet("1/8")


def assert_same_weights(left: torch.nn.Module, right: torch.nn.Module) -> None:
    expected, found = left.state_dict(), right.state_dict()
    assert list(expected) == list(found)
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def the_error(path: Path) -> str:
    with pytest.raises(SktError) as error:
        load_model(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# Round trips


@pytest.mark.parametrize("rate", ["1/3", "1/8", 0.123])
def test_round_trip_keeps_weights_rate_and_metadata(tmp_path: Path, rate: float | str) -> None:
    model, path = build_model("csrnet", rate), tmp_path / "new folder" / "student.safetensors"
    save_model(path, model, {"note": "Grüße", "steps": "12"})
    loaded = load_model(path)
    assert_same_weights(model, loaded)
    assert loaded.channel_preservation_rate == model.channel_preservation_rate
    assert not loaded.training
    metadata = read_metadata(path)
    assert (metadata["note"], metadata["steps"]) == ("Grüße", "12")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_channels_last_and_double_models_round_trip(tmp_path: Path, model: CSRNet) -> None:
    other = CSRNet("1/8")
    other.load_state_dict(model.state_dict())
    save_model(tmp_path / "a", other.to(memory_format=torch.channels_last).double())
    assert_same_weights(model, load_model(tmp_path / "a"))


def test_saving_replaces_an_older_file(tmp_path: Path, model: CSRNet) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, CSRNet("1/16"))
    save_model(path, model)
    assert_same_weights(model, load_model(path))


@pytest.mark.parametrize("metadata", [{"steps": 12}, {"skt_crowd.architecture": "x"}])
def test_metadata_is_text_and_does_not_shadow_the_format(
    tmp_path: Path, model: CSRNet, metadata: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"^metadata: "):
        save_model(tmp_path / "a", model, metadata)
    assert list(tmp_path.iterdir()) == []


# Other people's files


@pytest.mark.parametrize("rate", ["1/2", "1/3", "1/4", "1/5", "3/8"])
def test_bare_weights_tell_their_rate(tmp_path: Path, rate: str) -> None:
    model = build_model("csrnet", rate)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "bare.safetensors")
    loaded = load_model(tmp_path / "bare.safetensors")
    assert loaded.channel_preservation_rate == pytest.approx(model.channel_preservation_rate)
    assert_same_weights(model, loaded)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".safetensors"])
def test_pytorch_files_load_whatever_their_name(tmp_path: Path, model: CSRNet, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(model.state_dict(), path)
    assert_same_weights(model, load_model(path))


def test_training_checkpoints_and_data_parallel_prefixes_load(tmp_path: Path, model: CSRNet) -> None:
    weights = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights, "best": 68.4}, tmp_path / "model_best.pth.tar")
    assert_same_weights(model, load_model(tmp_path / "model_best.pth.tar"))


def test_old_pytorch_format_loads(tmp_path: Path, model: CSRNet) -> None:
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same_weights(model, load_model(tmp_path / "old.pth"))


def test_half_precision_weights_become_float32(tmp_path: Path, model: CSRNet) -> None:
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(half, tmp_path / "half.safetensors")
    loaded = load_model(tmp_path / "half.safetensors")
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, half[name].float())


def test_the_shared_teacher_loads() -> None:
    path = shared_path("weights/csrnet_part_a_teacher.safetensors")
    model = load_model(path)
    assert model.label == "csrnet"
    stored = read_weights(path)
    assert stored["frontend.0.weight"].dtype == torch.float16
    assert torch.equal(model.state_dict()["frontend.0.weight"], stored["frontend.0.weight"].float())


# Files that are not what they should be


def test_missing_file(tmp_path: Path) -> None:
    assert the_error(tmp_path / "none.pth").endswith("none.pth: cannot be read: No such file or directory")


def test_folder(tmp_path: Path) -> None:
    assert the_error(tmp_path).endswith("cannot be read: Is a directory")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    assert the_error(tmp_path / "empty.pth").endswith("empty.pth: the file is empty")


@pytest.mark.parametrize("kept", [4, 9, 100, 4000, 50_000, -1])
@pytest.mark.parametrize("format_", ["safetensors", "zip", "old"])
def test_truncated_files(tmp_path: Path, model: CSRNet, format_: str, kept: int) -> None:
    path = tmp_path / "cut"
    if format_ == "safetensors":
        save_model(path, model)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=format_ == "zip")
    path.write_bytes(path.read_bytes()[:kept])
    assert re.search("not a (complete|weights)", the_error(path))


@pytest.mark.parametrize(
    "content",
    [b"hello, I am a text file", b"\x00" * 64, bytes(range(7, 199, 3)), b"\xff" * 8 + b"{"],
    ids=["text", "zeros", "noise", "header"],
)
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    assert "not a" in the_error(tmp_path / "junk")


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("must-not-exist",))


def test_pickled_code_is_not_run(tmp_path: Path, model: CSRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": model.state_dict(), "args": Bomb()}, tmp_path / "evil.pth")
    assert "would run code to load" in the_error(tmp_path / "evil.pth")
    assert not (tmp_path / "must-not-exist").exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}])
def test_pytorch_files_of_another_content(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert "expected a dictionary of tensors" in the_error(tmp_path / "other.pth")


def test_another_architecture(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.pth")
    message = the_error(tmp_path / "vgg.pth")
    assert "not the weights of a known model (bl, can, csrnet, dssinet, mcnn, sanet)" in message
    assert "found features.0.weight" in message


def test_widths_of_no_rate(tmp_path: Path, model: CSRNet) -> None:
    weights = dict(model.state_dict())
    weights["frontend.5.weight"] = torch.zeros(77, 8, 3, 3)
    safetensors.torch.save_file(weights, tmp_path / "odd.safetensors")
    assert the_error(tmp_path / "odd.safetensors").endswith(
        "no channel preservation rate gives these widths of csrnet: "
        "8 of 64, 16 of 128, 77 of 128, 32 of 256, 64 of 512"
    )


def test_a_mismatch_names_keys_and_shapes(tmp_path: Path, model: CSRNet) -> None:
    weights = dict(model.state_dict())
    del weights["backend.0.bias"]
    weights["transform.weight"] = torch.zeros(2)
    weights["output_layer.weight"] = torch.zeros(1, 8, 3, 3)
    safetensors.torch.save_file(weights, tmp_path / "other.safetensors")
    assert the_error(tmp_path / "other.safetensors").endswith(
        "weights do not fit: missing backend.0.bias; unexpected transform.weight; "
        "other shapes: output_layer.weight is (1, 8, 3, 3), expected (1, 8, 1, 1)"
    )


def test_declared_models_this_version_does_not_know(tmp_path: Path, model: CSRNet) -> None:
    metadata = {"skt_crowd.architecture": "futurenet", "skt_crowd.channel_preservation_rate": "1.0"}
    safetensors.torch.save_file(model.state_dict(), tmp_path / "new", metadata)
    assert "holds a model named 'futurenet'; this version knows bl, can, csrnet," in the_error(
        tmp_path / "new"
    )


def test_a_declared_rate_that_is_no_rate(tmp_path: Path, model: CSRNet) -> None:
    metadata = {"skt_crowd.architecture": "csrnet", "skt_crowd.channel_preservation_rate": "big"}
    safetensors.torch.save_file(model.state_dict(), tmp_path / "damaged", metadata)
    assert "its metadata is damaged" in the_error(tmp_path / "damaged")


# Atomic writes


def test_a_full_disk_while_saving_keeps_the_old_model(
    tmp_path: Path, model: CSRNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(SktError) as error:
        save_model(path, CSRNet("1/16"))
    assert str(error.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_is_reported(tmp_path: Path) -> None:
    """The stream's own error, not an imitation: bytes copied to a device without space."""

    def write(stream: BinaryIO) -> None:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"x")

    with pytest.raises(SktError, match=r"file: cannot be written: No space left on device$"):
        atomic_write(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(stream: BinaryIO) -> None:
        stream.write(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SktError, match=r"file/inside: cannot be written: (Not a directory|File exists)$"):
        atomic_write(tmp_path / "file" / "inside", lambda stream: None)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(SktError, match=r"taken: cannot be written: Is a directory$"):
        atomic_write(tmp_path / "taken", lambda stream: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_new_files_get_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    atomic_write(tmp_path / "atomic", lambda stream: None)
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode
