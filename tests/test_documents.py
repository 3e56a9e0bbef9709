"""What the documents and the settings of the tools point to is there: files and headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z]+:")


def prose(document: Path) -> str:
    """Return the text without examples, indented or fenced."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(document: Path) -> list[str]:
    dead = []
    for link in LINK.findall(prose(document)):
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def test_there_are_links_to_check() -> None:
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"} <= set(DOCUMENTS)
    assert len(LINK.findall(prose(ROOT / "README.md"))) > 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert dead_links(document) == []


def test_files_with_exceptions_from_lint_are_there() -> None:
    """An exception that outlives its file, or its file's name, would be taken for one that is needed."""
    patterns = re.findall(r'^"([\w/.*-]+)" = \[', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(patterns) > 5
    assert [pattern for pattern in patterns if not any(ROOT.glob(pattern))] == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A Title, here\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md) [b](there.md#a-title-here) [c](https://example.org/x) [d](gone.md) [e](there.md#no)\n"
                    "[f](#here) `[g]`\n\n    [h](example.md)\n\n# Here\n")
    assert dead_links(page) == ["gone.md", "there.md#no"]


def test_every_test_that_a_promise_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/reliability.md").read_text(encoding="utf-8"))
    assert named
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []
