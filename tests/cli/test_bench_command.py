"""``skt bench``: prints what it measured, writes it where asked, refuses what it does not know."""

from pathlib import Path

from tests.cli.command_line import refused, skt


def test_it_prints_tables_and_writes_a_csv_and_a_plot(tmp_path: Path) -> None:
    ended = skt(
        *("bench", "--op", "cosine", "--size", "16x24", "--rounds", "1", "--against", "eager"),
        *("--device", "cpu", "--output", str(tmp_path / "out")),
    )
    assert ended.code == 0
    assert "cosine distance, 16x24, float32, contiguous" in ended.out
    assert "limits of this machine: copy" in ended.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kernels.csv", "kernels.png"]


def test_what_it_does_not_know(tmp_path: Path) -> None:
    assert "--op: expected one of cosine, pool, fsp, losses, got 'cos'" in refused(
        skt("bench", "--op", "cos"), 2
    )
    assert "--size: expected HxW such as 576x864, got '576'" in refused(skt("bench", "--size", "576"), 2)
    assert "--suite: expected paper or sizes, got 'all'" in refused(skt("bench", "--suite", "all"), 2)
    (tmp_path / "there").write_text("")
    assert "is not an empty folder" in refused(skt("bench", "--output", str(tmp_path)), 2)
