"""The numbers of a run by step, as JSON lines and as TensorBoard events."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from skt_crowd.errors import SktError
from skt_crowd.files import write_text


class MetricsLog:
    """Append one record per call to ``metrics.jsonl`` and its numbers to TensorBoard.

    A record holds nothing that depends on the clock, so two runs of one recipe write the same file, bit for
    bit. When a run continues at a step, records after that step are cut off first: they will be written
    again.

    Raises:
        SktError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, events: Path, *, after_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and needed by runs alone

        self.path = path
        try:
            kept = (
                [record for record in read_metrics(path) if record["step"] <= after_step]
                if path.exists()
                else []
            )
            write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from error
        self._events = SummaryWriter(str(events), purge_step=after_step + 1 if after_step else None)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Write one record, for example ``write("train", 20, loss=0.5)``."""
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error
        for name, value in values.items():
            if isinstance(value, int | float):
                self.chart(f"{kind}/{name}", value, step)

    def chart(self, name: str, value: float, step: int) -> None:
        """Write one number to TensorBoard alone, because it depends on the clock."""
        self._events.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._events.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What stopped the run must be reported, not that a full disk also refused the last events.
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():
            self.close()

    def _failure(self, error: OSError) -> SktError:
        return SktError(f"{self.path}: cannot write metrics: {error.strerror}")


def read_metrics(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The records of a metrics file, of one kind if asked; a last line cut short by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if kind is None or record["kind"] == kind:
            records.append(record)
    return records
