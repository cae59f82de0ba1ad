"""Help: every command teaches by an example, quickly."""

import subprocess
import sys

import pytest

from skt_crowd.inference import PROTOCOLS
from skt_crowd.recipes.recipe_file import recipe_summaries
from tests.cli.command_line import refused, skt

COMMANDS = (
    *("train", "distill", "recipes", "prepare", "import", "evaluate", "count", "protocols", "report"),
    *("demo", "doctor", "bench", "efficiency", "reproduce"),
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_has_every_command() -> None:
    ended = skt("--help")
    assert ended.code == 0
    for command in COMMANDS:
        assert command in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    ended = skt(command, "--help")
    assert ended.code == 0
    assert f"Example:  skt {command}" in ended.out or f"Example: skt {command}" in ended.out


def test_every_recipe_and_protocol_is_listed() -> None:
    listed = skt("recipes")
    assert listed.code == 0
    for name, (kind, summary) in recipe_summaries().items():
        (line,) = (line for line in listed.out.splitlines() if line.startswith(f"│ {name} "))
        assert f"skt {kind}" in line
        assert summary[:40] in line
    listed = skt("protocols")
    for name, protocol in PROTOCOLS.items():
        (line,) = (line for line in listed.out.splitlines() if line.startswith(f"│ {name} "))
        assert protocol.summary[:40] in line
    for kind in ("train", "distill"):
        assert "skt recipes lists the recipes" in skt(kind, "--help").out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from skt_crowd.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("[]")


def test_mistakes_of_the_command_line() -> None:
    assert "No such command 'trian'" in refused(skt("trian"), 2)
    assert "--outptu" in refused(skt("train", "r.yaml", "--outptu", "x"), 2)
    assert "--output" in refused(skt("train", "r.yaml"), 2)
    assert "steps" in refused(skt("train", "r.yaml", "--output", "x", "--steps", "many"), 2)
