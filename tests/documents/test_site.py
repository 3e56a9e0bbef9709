"""The documentation as a site: it is built without a warning, has every page, and needs nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.blocks import PAGES, ROOT

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(importlib.util.find_spec("sphinx") is None and not os.environ.get("CI"), reason="needs the extra docs")]
REFERENCE = re.compile(r'(?:href|src)="([^"]*)"')
LOADED = re.compile(r'<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)="([^"]*)"|url\(["\']?([^"\')]+)|@import ["\']([^"\']+)')


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "--builder", "html", "--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", str(source / "docs/site"),
         "--doctree-dir", str(target.parent / "doctrees"), str(source), str(target)],
        capture_output=True, text=True, timeout=200, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})


@cache
def ids(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def not_in_the_navigation(site: Path) -> list[str]:
    """Return the pages that are not built, or that the navigation does not show; decisions are listed on a page of theirs."""
    shown = {unquote(reference) for reference in REFERENCE.findall((site / "docs" / "index.html").read_text(encoding="utf-8"))}
    decisions = (site / "docs" / "adr" / "README.html").read_text(encoding="utf-8")
    missing = []
    for path in [*PAGES, ROOT / "CHANGELOG.md", *(ROOT / "docs" / "adr").glob("*.md")]:
        page = path.relative_to(ROOT).with_suffix(".html")
        listed = f'href="{page.name}"' in decisions if page.name[0] == "0" else os.path.relpath(page, "docs") in shown
        if not (site / page).is_file() or not (listed or page.name == "index.html"):
            missing.append(str(page))
    return missing


def dead_links(site: Path) -> list[str]:
    dead = []
    for page in site.rglob("*.html"):
        for reference in REFERENCE.findall(page.read_text(encoding="utf-8")):
            link = urlsplit(reference)
            if link.scheme or not (link.path or link.fragment):
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            if not target.is_file() or (link.fragment and target.suffix == ".html" and unquote(link.fragment) not in ids(target)):
                dead.append(f"{page.relative_to(site)}: {reference}")
    return dead


def loaded(site: Path) -> set[str]:
    """Return what the pages have a browser load."""
    return {reference for path in [*site.rglob("*.html"), *site.rglob("*.css")]
            for references in LOADED.findall(path.read_text(encoding="utf-8")) for reference in references if reference}


def test_every_page_has_its_place_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    site = tmp_path / "html"
    done = subprocess.run([str(ROOT / "scripts" / "build-docs"), str(site)], capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, "FASTSCP_VENV": sys.prefix})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not_in_the_navigation(site) == []
    assert dead_links(site) == []
    assert len(loaded(site)) > 5
    assert {reference for reference in loaded(site) if re.match(r"(https?:)?//", reference)} == set()
    assert {"fastscp.blast.run.run", "fastscp.blast.plan.Plan"} <= ids(site / "docs" / "api.html")


@pytest.mark.parametrize(("text", "complaint"), [
    ("# Lost\n\nNobody leads here.\n", "isn't included in any toctree"),
    ("# Lost\n\n[a](gone.md)\n", "gone.md"),
    ("# Lost\n\n[a](index.md#no-such-heading)\n", "no-such-heading"),
])
def test_mistakes_end_the_build(tmp_path: Path, text: str, complaint: str) -> None:
    """A site of two pages, with the configuration of the real one."""
    (tmp_path / "docs" / "site" / "static").mkdir(parents=True)
    (tmp_path / "docs" / "site" / "root").mkdir()
    (tmp_path / "fastscp").symlink_to(ROOT / "fastscp")
    (tmp_path / "docs" / "site" / "conf.py").write_text((ROOT / "docs" / "site" / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    hidden = "" if "toctree" in complaint else "```{toctree}\n:hidden:\n\npage\n```\n"
    (tmp_path / "docs" / "index.md").write_text(f"# Site\n\n{hidden}", encoding="utf-8")
    (tmp_path / "docs" / "page.md").write_text("# Page\n", encoding="utf-8")
    if hidden:
        assert build(tmp_path, tmp_path / "html").returncode == 0
    (tmp_path / "docs" / "page.md").write_text(text, encoding="utf-8")
    done = build(tmp_path, tmp_path / "html")
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr
