"""The metrics file: append, cut back, survive a cut line and a full disk."""

import errno
import io
from pathlib import Path

import pytest

from skt_crowd.errors import SktError
from skt_crowd.training.metrics_log import MetricsLog, read_metrics


def test_records_come_back_in_order_and_by_kind(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "m.jsonl", tmp_path / "events") as log:
        log.write("train", 1, loss=0.5)
        log.write("evaluation", 1, mae=2.0)
        log.write("train", 2, loss=0.25)
    assert [record["step"] for record in read_metrics(tmp_path / "m.jsonl")] == [1, 1, 2]
    assert read_metrics(tmp_path / "m.jsonl", "evaluation") == [{"kind": "evaluation", "step": 1, "mae": 2.0}]
    assert list((tmp_path / "events").iterdir())


def test_a_continuation_cuts_back_to_its_step(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with MetricsLog(path, tmp_path / "events") as log:
        for step in (1, 2, 3):
            log.write("train", step, loss=1.0 / step)
    kept = path.read_text().splitlines()[:2]
    with path.open("a") as file:
        file.write('{"kind": "tr')  # the process was killed here
    with MetricsLog(path, tmp_path / "events", after_step=2) as log:
        log.write("train", 3, loss=7.0)
    assert path.read_text().splitlines() == [*kept, '{"kind": "train", "step": 3, "loss": 7.0}']


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "m.jsonl"
    log = MetricsLog(path, tmp_path / "events")
    log._file.close()
    log._file = Full()
    with pytest.raises(SktError, match=f"{path}: cannot write metrics: No space left on device"):
        log.write("train", 1, loss=0.5)
    log.close()
