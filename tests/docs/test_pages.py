"""Links lead somewhere, lines are short, the words are the field's, and the site needs nothing from other hosts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))

# Not the field's words; what to write instead.
WORDS = {
    r"counters?(?! of)": "model",
    r"drawn crowds?": "synthetic crowds",
    r"pictures?": "image, figure",
    r"wiring": "channel graph",
    r"pull(s|ed)? back": "backward",
    r"judged?": "evaluate",
    r"carr(y|ies|ied) out": "run",
    r"(a|an) (candidate|image|pixel|person|thread|tile|block|launch|row|window)(?= *\|)": "per",
}


def prose(path: Path) -> list[str]:
    """The lines of a page outside of code, without inline code and addresses."""
    text = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), path.read_text(), flags=re.DOTALL)
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text).splitlines()


@page
def test_lines_are_short(path: Path) -> None:
    long = [line for line in path.read_text().splitlines() if len(line) > 100 and not line.startswith("|")]
    code = "\n".join(re.findall(r"```.*?```", path.read_text(), flags=re.DOTALL)).splitlines()
    assert [line for line in long if line not in code] == []
    assert [line for line in code if len(line) > 140] == []


@page
def test_words(path: Path) -> None:
    text = "\n".join(prose(path))
    found = {
        match[0]: instead
        for word, instead in WORDS.items()
        for match in re.finditer(rf"\b{word}\b", text, re.I)
    }
    assert found == {}


@page
def test_links_lead_to_files(path: Path) -> None:
    if path.parent == ROOT:  # mkdocs checks the others
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    sites = list(tmp_path.rglob("*.html"))
    assert len(sites) > len(PAGES) - 2
    for html in sites:
        loaded = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?([^\"' >]+)", html.read_text()
        )
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == [], html.name
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text()), style.name
