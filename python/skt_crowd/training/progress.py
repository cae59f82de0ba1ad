"""What a person sees while a run goes on: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Shows step, losses, rate and time left; on anything but a terminal, one line per report and no bar."""

    def __init__(self, console: Console, title: str, *, done: int, steps: int) -> None:
        self._console = console
        self._steps = steps
        self._first = self._step = done
        self._began = time.perf_counter()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(title, completed=done, total=steps, losses="")

    def advance(self) -> None:
        """One step is done."""
        self._step += 1
        self._bar.advance(self._task)

    def rate(self) -> float:
        """Steps per second since this process began."""
        return (self._step - self._first) / max(1e-9, time.perf_counter() - self._began)

    def losses(self, values: Mapping[str, float]) -> None:
        """Mean losses since the last report."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        rate = self.rate()
        self._bar.update(self._task, losses=f"{rate:.2f} steps/s  {shown}")
        if not self._console.is_terminal:
            left = duration((self._steps - self._step) / rate) if rate else "?"
            self.say(f"step {self._step}/{self._steps}  {shown}  {rate:.2f} steps/s  left {left}")

    def say(self, line: str) -> None:
        """A line of its own, above the bar where there is one."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03``, or ``2:03`` below an hour.

    Example:
        >>> duration(3723), duration(123.4)
        ('1:02:03', '2:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
