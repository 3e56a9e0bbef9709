"""What the documents call by its name is there: options, files, modules."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from fastscp.cli import conv
from fastscp.cli.events import OPTIONS as EVENTS
from fastscp.cli.options import OPTIONS
from fastscp.cli.options_blast import TABLE as BLAST
from fastscp.cli.options_ingest import TABLE as INGEST
from fastscp.cli.relay import OPTIONS as RELAY
from tests.support.blocks import PAGES, ROOT, blocks_of, name_of

OURS = {flag for table in (OPTIONS, BLAST.options, INGEST.options) for option in table for flag in option.flags}
#: of programs whose options are no table that can be asked, and of other people's programs
OTHERS = {
    *(long for _, long, *_ in (*conv.GENERAL, *conv.FLAGS, *conv.NUMBERS, *EVENTS, *RELAY)), "--json", "--once", "--interval",
    "--before", "--calls", "--directory", "--engine", "--figure", "--list", "--loads", "--objects", "--peers", "--receivers", "--rounds", "--senders", "--svg",
    "--hostile", "--options", "--rate", "--seed", "--with", "--keep", "--wheel", "--init", "--kill-whom", "--kill-who", "--signal", "--install",
    "--upgrade", "--platform", "--help", "--pause", "--study",
    "--build-arg", "--cap-drop", "--format", "--health-cmd", "--name", "--now", "--read-only", "--security-opt", "--stop-timeout", "--uninstall",
    "--balanced", "--build", "--wait", "--from-literal",
    *re.findall(r"add_argument\(\"(--[\w-]+)\"", "".join((ROOT / "perf" / name).read_text(encoding="utf-8")
                                                          for name in ("fleet.py", "simulation.py", "plans.py"))),
}
PATH = re.compile(r"(?:tests|perf|scripts|docs|fastscp)/[\w./-]*\w")
MODULE = re.compile(r"([a-z_]+)((?:\.\w+)+)")
#: what looks like a module and is a text of the program (events, attributes), or OpenTelemetry's
NO_MODULE = {text for path in (ROOT / "fastscp").rglob("*.py") for text in re.findall(r'"([a-z_]+\.[a-z_.]+)"', path.read_text(encoding="utf-8"))} | {
    "service.version"}
PACKAGES = {path.name for path in (ROOT / "fastscp").iterdir() if path.is_dir()}


def words(page: Path) -> list[str]:
    """Return what a page shows as code within its lines, and in its blocks of commands."""
    found = [block.text for block in blocks_of(page) if block.language == "sh"]
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        found += [child.content for child in token.children or () if child.type == "code_inline"]
    return found


def named(page: Path) -> set[str]:
    """Return the objects of packages and modules that a page calls by their dotted names."""
    found = set()
    for word in words(page):
        name = word.removeprefix("fastscp.").removesuffix("()")
        match = MODULE.fullmatch(name)
        if match and match[1] in PACKAGES and name not in NO_MODULE and not name.endswith((".py", ".sqlite")):
            found.add(name)
    return found


def is_there(name: str) -> bool:
    """Tell whether a dotted name below the package leads somewhere."""
    parts = name.split(".")
    for number in range(len(parts), 0, -1):
        try:
            found = importlib.import_module("fastscp." + ".".join(parts[:number]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[number:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_are_there(page: Path) -> None:
    shown = {flag for word in words(page) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*\w(?![\w-]*…)", word)}
    assert sorted(shown - OURS - OTHERS) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_are_there(page: Path) -> None:
    shown = {path for word in words(page) for path in PATH.findall(word.split("::")[0]) if word.startswith(path) and "PACKAGE" not in path}
    assert [path for path in sorted(shown) if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*"))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_are_there(page: Path) -> None:
    assert [name for name in sorted(named(page)) if not is_there(name)] == []


def test_there_are_words_to_check() -> None:
    everything = [word for page in PAGES for word in words(page)]
    assert len([word for word in everything if word.startswith("--")]) > 100
    assert len({name for page in PAGES for name in named(page)}) > 50
    assert is_there("ul.association.Association")
    assert not is_there("ul.association.Assoziation")
    assert not is_there("ul.gone")
