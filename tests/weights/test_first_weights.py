"""Where the weights of a run's model come from, as the recipe says."""

from pathlib import Path

import pytest
import torch

from skt_crowd.errors import SktError
from skt_crowd.models import build_model
from skt_crowd.weights import ModelSettings, inherit_filters, save_model


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "teacher.safetensors"
    save_model(path, build_model("csrnet", "1/8"), {})
    return path


def test_inherit_takes_the_filters_of_a_wider_counter(teacher_file: Path) -> None:
    settings = ModelSettings(
        channel_preservation_rate=1 / 16, initialization="inherit", initial_weights=str(teacher_file)
    )
    torch.manual_seed(1)
    teacher, expected = build_model("csrnet", "1/8"), build_model("csrnet", "1/16")
    inherit_filters(expected, teacher)
    student = settings.build().state_dict()
    assert all(torch.equal(student[name], value) for name, value in expected.state_dict().items())


def test_inherit_without_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="initialization: inherit needs initial_weights, a file"):
        ModelSettings(initialization="inherit")


def test_inherit_from_a_missing_file_names_it(tmp_path: Path) -> None:
    settings = ModelSettings(initialization="inherit", initial_weights=str(tmp_path / "no.safetensors"))
    with pytest.raises(SktError, match=r"no\.safetensors"):
        settings.build()
