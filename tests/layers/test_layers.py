"""Imports and includes point one way, from the command line down to the kernels."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = ROOT / "python" / "skt_crowd"

# From the top down. A part imports itself and parts of lower rows, never its own row.
LAYERS = [
    ("__main__",),
    ("cli",),
    ("recipes",),
    ("training", "plots"),
    ("objectives", "evaluation"),
    ("inference",),
    ("efficiency", "weights"),
    ("models", "data"),
    ("device", "files", "geometry", "machine", "settings", "ssim"),
    ("errors",),
]
DEPTH = {part: depth for depth, row in enumerate(LAYERS) for part in row}

SOURCES = sorted(path for path in APPLICATION.rglob("*.py") if path != APPLICATION / "__init__.py")


def imported_modules(source: str) -> Iterator[str]:
    """Dotted names that a file imports anywhere, inside functions too; relative ones are refused."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module is not None
            # `from skt_crowd import data` names a part only in its last word.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    """The part a file belongs to: the package, or the module, just below ``skt_crowd``."""
    return path.relative_to(APPLICATION).parts[0].removesuffix(".py")


def breaches(source: str, part: str) -> list[str]:
    """Imports of ``skt_crowd`` that a file of ``part`` may not have."""
    imported = {name.split(".")[1] for name in imported_modules(source) if name.split(".")[0] == "skt_crowd"}
    return sorted(other for other in imported - {part} if DEPTH[other] <= DEPTH[part])


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in SOURCES} == set(DEPTH)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(APPLICATION)))
def test_the_application_imports_downwards(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), part_of(path)) == []


def test_an_import_upwards_or_sideways_would_be_seen() -> None:
    assert breaches("from skt_crowd.training.loop import TrainingLoop", "objectives") == ["training"]
    assert breaches("def late():\n    import skt_crowd.cli.app", "training") == ["cli"]
    assert breaches("from skt_crowd import data", "models") == ["data"]
    assert breaches("from skt_crowd.files import write_text\nimport torch", "models") == []


@pytest.mark.parametrize("path", sorted((ROOT / "skt_ext").rglob("*.py")), ids=lambda path: path.name)
def test_skt_ext_knows_nothing_of_the_application(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported_modules(path.read_text(encoding="utf-8"))}
    assert "skt_crowd" not in packages


def headers_of(path: Path) -> set[str]:
    """What a file includes, and what those of its headers include that lie in ``csrc``."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', text, re.MULTILINE))
    places = [folder / name for name in named for folder in (path.parent, ROOT / "csrc/include")]
    return named.union(*(headers_of(place) for place in places if place.is_file()))


def is_of_torch(header: str) -> bool:
    return header.split("/")[0] in ("torch", "ATen", "c10", "caffe2")


KERNELS = sorted(path for path in (ROOT / "csrc/kernels").rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_include_no_torch_header(path: Path) -> None:
    assert [header for header in headers_of(path) if is_of_torch(header)] == []


def test_a_torch_header_would_be_seen() -> None:
    assert any(is_of_torch(header) for header in headers_of(ROOT / "csrc/cpu/cosine_loss.cpp"))
