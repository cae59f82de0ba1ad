"""Tests for a machine with a CUDA device; elsewhere they skip and say so.

The tests of `tests/ops` and `tests/losses` run on a CUDA device too where there is one. Here is what only a device has:
streams, a second device, graphs, synchronisation.
"""

from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())
