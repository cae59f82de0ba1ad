"""The pages of the documentation and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

OPENING = re.compile(r"( *)```(\S*)")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of its first line, from 1
    language: str
    code: str
    not_run: str | None  # the reason that the page gives, in a comment on the line before the block

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line is a comment with a path."""
        found = re.match(r"(?:#|//) ((?:\w+/)+\w+\.\w+)\n", self.code)
        return found[1] if found else None


def blocks_of(page: Path) -> list[Block]:
    blocks: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines):
        fence = OPENING.fullmatch(line)
        if fence is None:
            continue
        if start is None:
            start, indent, language = number + 1, len(fence[1]), fence[2]
            before = NOT_RUN.fullmatch(lines[number - 1].strip())
        else:
            code = "".join(text[indent:] + "\n" for text in lines[start:number])
            blocks.append(Block(page, start + 1, language, code, before[1] if before else None))
            start = None
    assert start is None, f"{page}: a block that begins in line {start} has no end"
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
