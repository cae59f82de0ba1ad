"""Fixture ``emulated``: the driver that a test module names, in a mode, an order and with a seed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.emulation.emulated import DRIVERS, MODES, Drivers, Ordered, why_not


@pytest.fixture(scope="session")
def drivers(request: pytest.FixtureRequest) -> Iterator[Drivers]:
    if reason := why_not():
        pytest.skip(reason)
    assert request.config.cache is not None
    session = Drivers(request.config.cache.mkdir("emulation"))
    # All that this session's tests will ask for, compiled while the first of them run.
    here = Path(__file__).parent
    modules = dict.fromkeys(item.module for item in request.session.items if item.path.parent == here)  # type: ignore[attr-defined]
    names = dict.fromkeys(module.DRIVER for module in modules if hasattr(module, "DRIVER"))
    for name in names:
        for mode in MODES:
            session.builder.library(DRIVERS / f"{name}.cpp", mode)
    yield session
    session.close()


@pytest.fixture
def emulated(drivers: Drivers, request: pytest.FixtureRequest) -> Callable[..., Ordered]:
    def start(mode: str, order: str = "forward", seed: int = 0) -> Ordered:
        return Ordered(drivers.start(request.module.DRIVER, mode), order, seed)

    return start
