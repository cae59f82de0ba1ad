"""Fixtures of the suite: a test class names its backend, and gets every sample that the backend takes."""

import pytest

from tests.conformance.samples import TESTED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.cls is None:
        return
    backend = metafunc.cls.backend
    if "sample" in metafunc.fixturenames:
        samples = [sample for tested in TESTED.values() for sample in tested.samples if backend.takes(sample)]
        metafunc.parametrize("sample", samples, ids=str)
    if "refusal" in metafunc.fixturenames:
        refusals = [
            refusal
            for tested in TESTED.values()
            if backend.checks and backend.takes(tested.samples[0])
            for refusal in tested.refusals
        ]
        metafunc.parametrize("refusal", refusals, ids=str)


@pytest.fixture(scope="class", autouse=True)
def started(request: pytest.FixtureRequest) -> None:
    if request.cls is not None and hasattr(request.cls, "backend"):
        request.cls.backend.start(request.config)
