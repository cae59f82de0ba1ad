"""Run tasks on one shared value in several processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

from skt_crowd.errors import SktError, UsageError

Shared = TypeVar("Shared")
Result = TypeVar("Result")


class Processes(Generic[Shared]):
    """Runs tasks ``task(shared)`` and yields their results in order; with one worker, in this process.

    The shared value is sent to each worker once, tasks one by one, so they should be small. Workers compute
    with one thread each, ignore interrupts, which this process handles, and end when it ends, however it ends.

    Args:
        workers: at least 1.
        shared: what every task is given; it must pickle.

    Raises:
        UsageError: `workers` is below 1.

    Example:
        >>> with Processes(1, "crowd") as processes:
        ...     list(processes.map([len, str.upper]))
        [5, 'CROWD']
    """

    def __init__(self, workers: int, shared: Shared) -> None:
        if workers < 1:
            raise UsageError(f"workers: expected at least 1, got {workers}")
        self._shared = shared
        self._executor: ProcessPoolExecutor | None = None
        if workers > 1:
            self._executor = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),  # a fork of a process with threads may hang
                initializer=_start_worker,
                initargs=(shared,),
            )

    def __enter__(self) -> "Processes[Shared]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(self, tasks: Sequence[Callable[[Shared], Result]]) -> Iterator[Result]:
        """The tasks' results, in the order of the tasks.

        Raises:
            SktError: a worker was killed. What a task raises passes through.
        """
        if self._executor is None:
            yield from (task(self._shared) for task in tasks)
            return
        try:
            yield from self._executor.map(_run_task, tasks)
        except BrokenProcessPool:
            raise SktError(
                "a worker process was killed, most likely because memory ran out; use fewer workers"
            ) from None


_shared: Any = None  # of this worker


def _start_worker(shared: Any) -> None:
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _run_task(task: Callable[[Any], Result]) -> Result:
    return task(_shared)
