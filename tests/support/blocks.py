"""The blocks of code in the documents: what they are, whether they are run, and if not, why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
#: every page that a user or a developer reads; decisions and the list of changes tell of the past
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "perf" / "README.md", *sorted((ROOT / "docs").glob("*.md")),
         *sorted((ROOT / "docs" / "examples").rglob("*.md"))]
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->\s*")
_FILE = re.compile(r"`([^`]+)`:")


@dataclass(frozen=True)
class Block:
    """One block. ``language`` is empty for an indented one; ``file`` is the name that the text above gives it."""

    page: str
    line: int
    language: str
    text: str
    file: str | None = None
    reason: str | None = None  #: why it is not run

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_command(self) -> bool:
        return self.language in {"sh", "python"} and self.file is None


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, page: str) -> list[Block]:
    """Return the blocks of a page; directives of the site's builder are none."""
    found = []
    above: list[str] = []  # texts of what stands directly before: a comment, a paragraph
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in {"fence", "code_block"} and not token.info.startswith("{"):
            reasons = [match[1] for match in map(_NOT_RUN.fullmatch, above[-1:]) if match]
            files = [match[1] for match in map(_FILE.fullmatch, above[-1:]) if match]
            found.append(Block(page, token.map[0] + 1, token.info, token.content, *files or [None], *reasons or [None]))
        if token.type in {"fence", "code_block", "html_block", "inline"}:
            above.append(token.content)
    return found


def blocks_of(page: Path) -> list[Block]:
    return blocks(page.read_text(encoding="utf-8"), name_of(page))
