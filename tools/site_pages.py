"""mkdocs hook: pages of the site whose text lies in the root of the repository, where readers of it look first.

A page that holds only `<!-- the text of NAME -->` becomes that file; its links into docs/ become links of the site.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(r"<!-- the text of ([\w.]+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    found = MARKER.fullmatch(markdown.strip())
    if found is None:
        return markdown
    return (ROOT / found[1]).read_text(encoding="utf-8").replace("](docs/", "](")
