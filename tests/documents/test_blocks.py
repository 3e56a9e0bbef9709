"""Each block of code in the documents says what it is; each command is run by a test, or says why not."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.support.blocks import PAGES, ROOT, blocks, blocks_of, name_of

#: Why commands are not run, and how many there are: whoever adds one says so here.
NOT_RUN = {
    "a sketch": 9,
    "a test of its own runs it": 1,
    "it would run itself": 3,
    "changes the machine (tests/packaging does it elsewhere)": 2,
    "needs Docker or Podman": 4,
    "needs a bare Debian": 1,
    "needs a fleet": 5,
    "needs an object store": 1,
    "needs another Python": 1,
    "needs another checkout": 1,
    "needs systemd": 4,
    "needs systemd and another version": 1,
    "needs the package index": 4,
    "measures for minutes": 6,
    "takes a minute": 1,
    "takes an hour": 2,
    "takes minutes to hours": 1,
    "takes two minutes": 1,
}
#: Pages whose commands are run by a test of their own, or measure for minutes (``tests/perf`` runs every program for a moment).
ELSEWHERE = {"docs/cookbook.md": "tests/conformance/test_cookbook.py", "docs/performance.md": "tests/perf/test_programs.py"}
LANGUAGES = {"sh", "text", "python", "json", "toml", "yaml", "ini", "haproxy"}
COMMAND = re.compile(r"\$ *(fastscp|dcmsend)|(fastscp[\w-]*|scripts/[\w-]+|dcmsend|storescu|echoscu|pip|python3?|curl|systemctl) (?!.*\[options\])")
HERE = [page for page in PAGES if name_of(page) not in ELSEWHERE]
ALL = [block for page in PAGES for block in blocks_of(page)]


def test_there_are_blocks_to_check() -> None:
    assert len(ALL) > 100
    assert sum(block.is_command for block in ALL) > 60


@pytest.mark.parametrize("page", HERE, ids=name_of)
def test_each_block_says_what_it_is(page) -> None:
    assert [str(block) for block in blocks_of(page) if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", HERE, ids=name_of)
def test_no_command_hides_in_a_text(page) -> None:
    hidden = [block for block in blocks_of(page) if block.language == "text"
              and any(COMMAND.match(line) for line in block.text.splitlines())]
    assert [str(block) for block in hidden] == []


def test_commands_that_are_not_run_are_counted() -> None:
    assert Counter(block.reason for block in ALL if block.reason) == NOT_RUN


def test_only_commands_are_left_out() -> None:
    assert [str(block) for block in ALL if block.reason and not block.is_command] == []


def test_a_page_is_read_as_a_renderer_reads_it() -> None:
    page = ("a\n\n    indented\n\n`f.toml`:\n\n```toml\na = 1\n```\n\n<!-- not run: no -->\n```sh\nx\n```\n\n```sh\ny\n```\n\n```{toctree}\nz\n```\n"
            "\n1. item\n\n   ```sh\n   in a list\n   ```\n\n<!-- not run: no -->\n\nfar\n\n```sh\nw\n```\n")
    found = [(block.language, block.text, block.file, block.reason) for block in blocks(page, "p")]
    assert found == [("", "indented\n", None, None), ("toml", "a = 1\n", "f.toml", None), ("sh", "x\n", None, "no"), ("sh", "y\n", None, None),
                     ("sh", "in a list\n", None, None), ("sh", "w\n", None, None)]
    assert blocks(page, "p")[2].line == 12


def templates() -> list[re.Pattern[str]]:
    """Return what the program can say: each text of its code, with anything in the place of what is put in."""
    found = []
    for path in (ROOT / "fastscp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "%s" for part in node.values)
            else:
                text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if len(re.sub(r"%\w|\W", "", text)) >= 6:
                found.append(re.compile(re.sub(r"%\d*[a-z]", ".+?", re.escape(text)), re.DOTALL))
    return found


def test_lines_of_the_log_are_lines_of_the_log() -> None:
    """They begin as a text of the program does, or one that begins with somebody's name ends them."""
    said = templates()
    quoted = [(block, line[3:]) for block in ALL if block.language == "text" for line in block.text.splitlines()
              if re.match(r"[IWEF]: ", line)]
    assert len(quoted) > 12
    assert [f"{block}: {line}" for block, line in quoted if not any(
        template.fullmatch(line) or (" " in template.pattern and template.match(line)) for template in said)] == []
