"""Help: every command teaches by an example, quickly."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml
from command_line import refused, skt

from skt_crowd.recipes.recipe_file import recipe_names

COMMANDS = ("train", "distill", "evaluate", "count", "import", "prepare", "demo", "doctor", "report")


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


@pytest.mark.parametrize("kind", ["train", "distill"])
def test_training_commands_name_their_recipes(kind: str) -> None:
    files = {
        name: Path(str(resources.files("skt_crowd.recipes") / f"{name}.yaml")) for name in recipe_names()
    }
    ours = {name for name, path in files.items() if yaml.safe_load(path.read_text())["kind"] == kind}
    (line,) = (line for line in skt(kind, "--help").out.splitlines() if "Recipes that come" in line)
    assert set(line.partition(":")[2].strip(" .").split(", ")) == ours


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
