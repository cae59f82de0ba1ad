"""``skt efficiency`` and ``skt reproduce``."""

import json

from tests.cli.command_line import refused, skt


def test_efficiency_prints_json_for_other_programs() -> None:
    ended = skt("efficiency", "1/4-csrnet", "--size", "16x24", "--rounds", "1", "--device", "cpu", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    (network,) = told["networks"]
    assert (told["height"], told["width"]) == (16, 24)
    assert network["network"] == "1/4-csrnet"
    assert network["parameters"] == 1_017_681
    assert 0 < network["macs"] < network["flops_paper"]
    assert network["seconds"]["median"] > 0


def test_efficiency_without_timing() -> None:
    ended = skt("efficiency", "1/4-csrnet", "--size", "576x864", "--no-latency")
    assert "13.09" in ended.out
    assert "1,017,681" in ended.out


def test_reproduce_prints_both_figures_and_the_agreement() -> None:
    ended = skt("reproduce", "table2")
    assert ended.code == 0
    assert "4 of 5 parameter counts agree" in ended.out
    assert "5 of 5 FLOP cells agree" in ended.out
    assert "the paper cuts 0.647 to 0.64" in ended.out


def test_mistakes() -> None:
    assert "got 'table9'" in refused(skt("reproduce", "table9"), 2)
    assert "csrnot" in refused(skt("efficiency", "csrnot", "--no-latency"), 2)
    assert "--size: expected HxW such as 576x864, got '10'" in refused(
        skt("efficiency", "csrnet", "--size", "10"), 2
    )
