"""Tasks in several processes: order, errors, and a worker that is killed."""

import os
import signal
from functools import partial

import pytest

from skt_crowd.data.prepare.processes import Processes
from skt_crowd.errors import SktError, UsageError


def plus(number: int, shared: int) -> tuple[int, int]:
    return shared + number, os.getpid()


def fail(number: int, shared: int) -> int:
    if number == 2:
        raise SktError("two is bad")
    return number


def die(shared: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_in_order(workers):
    with Processes(workers, 100) as processes:
        results = list(processes.map([partial(plus, number) for number in range(6)]))
    assert [value for value, _ in results] == [100, 101, 102, 103, 104, 105]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_pass_through(workers):
    with pytest.raises(SktError, match="two is bad"), Processes(workers, 0) as processes:
        list(processes.map([partial(fail, number) for number in range(5)]))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_worker():
    with (
        pytest.raises(SktError, match=r"a worker process was killed.*use fewer workers"),
        Processes(2, 0) as two,
    ):
        list(two.map([die]))


def test_no_worker():
    with pytest.raises(UsageError, match="workers: expected at least 1, got 0"):
        Processes(0, None)
