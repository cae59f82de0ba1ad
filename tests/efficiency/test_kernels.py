"""Kernel workloads: every one is checked, timed and written, and a wrong result is not timed."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch

from skt_crowd.efficiency.benchmarking import kernels, workloads
from skt_crowd.efficiency.benchmarking.results import kernel_rows, plot_kernels, write_csv
from skt_crowd.efficiency.benchmarking.workloads import WORKLOADS, Setting
from skt_crowd.errors import SktError

TINY = Setting(16, 24)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_every_workload_agrees_with_the_reference_and_is_timed(dtype: str, layout: str) -> None:
    setting = Setting(16, 24, dtype, layout)
    results = list(kernels.run_kernels(list(WORKLOADS), [setting], peers=["eager"], rounds=2))
    assert [result.workload.name for result in results] == [
        WORKLOADS[name](setting).name for name in WORKLOADS
    ]
    for result in results:
        assert result.error <= kernels.TOLERANCE[dtype]
        assert set(result.stages) == {"skt_ext", "eager torch"}
        assert len(result.stages["skt_ext"].both.seconds) == 2
        assert result.ratio("eager torch") > 0
        assert all(tensor.grad is None for tensor in result.workload.student)


def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = workloads.cosine(TINY)
    wrong = dataclasses.replace(honest, ours=lambda features: 1.01 * honest.ours(features))
    monkeypatch.setitem(WORKLOADS, "cosine", lambda setting: wrong)
    with pytest.raises(SktError, match=r"cosine distance at 16x24 in float32: .* differ by 1\.0e-02"):
        next(kernels.run_kernels(["cosine"], [TINY], peers=["eager"], rounds=1))


def test_least_traffic_and_work_by_hand() -> None:
    cells = 2 * 3  # of 16x24 at stride 8
    elements = 64 * 16 * 24 + 64 * 8 * 12 + 128 * 4 * 6 + (256 + 512 + 256) * cells
    assert workloads.cosine(TINY).least_bytes == 3 * 4 * elements
    # 611,584 entries of 21 matrices, as the authors' seven features have them.
    assert workloads.dense_fsp(TINY).multiply_adds == 4 * 611_584 * cells


def test_one_thread_is_timed_and_the_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    (result,) = kernels.run_kernels(["cosine"], [TINY], peers=["eager"], rounds=1, threads=True)
    assert result.one_thread is not None
    assert result.one_thread > 0
    assert torch.get_num_threads() == before


def test_rows_and_plot(tmp_path: Path) -> None:
    results = list(kernels.run_kernels(["cosine"], [TINY], peers=["eager"], rounds=2))
    write_csv(tmp_path / "out" / "kernels.csv", kernel_rows(results))
    with (tmp_path / "out" / "kernels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["candidate"], row["stage"]) for row in rows] == [
        (candidate, stage)
        for candidate in ("skt_ext", "eager torch")
        for stage in ("forward", "backward", "both")
    ]
    assert float(rows[2]["skt_ext_times_faster"]) == 1.0
    assert float(rows[5]["median_s"]) > 0
    assert rows[0]["torch"] == torch.__version__
    plot_kernels(tmp_path / "out" / "kernels.png", results)
    assert (tmp_path / "out" / "kernels.png").stat().st_size > 5000
