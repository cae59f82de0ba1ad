"""A test class names its backend, and gets all samples that the backend takes."""

from collections.abc import Iterator

import pytest

from tests.conformance.backends import Backend
from tests.conformance.sample import Refusal, Sample
from tests.conformance.samples import TESTED


def samples(backend: Backend) -> Iterator[Sample]:
    for tested in TESTED.values():
        yield from filter(backend.takes, tested.samples)


def differentiable(backend: Backend) -> Iterator[Sample]:
    for sample in samples(backend):
        wanted = sample.tags & {"opcheck", "gradcheck"} and sample.make().get("with_gradient", True)
        if TESTED[sample.operator].differentiable and wanted:
            yield sample


def batched(backend: Backend) -> Iterator[Sample]:
    for tested in TESTED.values():
        if tested.images and backend.takes(tested.samples[0]):
            yield tested.samples[0]


def refusals(backend: Backend) -> Iterator[Refusal]:
    for tested in TESTED.values():
        if backend.checks and backend.takes(tested.samples[0]):
            yield from tested.refusals


PARAMETERS = {
    "sample": samples, "differentiable": differentiable, "batched": batched, "refusal": refusals,
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if backend := getattr(metafunc.cls, "backend", None):
        for name in set(metafunc.fixturenames) & set(PARAMETERS):
            metafunc.parametrize(name, list(PARAMETERS[name](backend)), ids=str)


@pytest.fixture(scope="class", autouse=True)
def started(request: pytest.FixtureRequest) -> None:
    if hasattr(request.cls, "backend"):
        request.cls.backend.start(request.config)
