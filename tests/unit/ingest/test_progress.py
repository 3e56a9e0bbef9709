from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.ingest import progress as module
from fastscp.ingest.counting import Counter, count
from fastscp.ingest.progress import Bar, Lines, Silent, progress, size_text
from fastscp.ingest.tally import Tally
from fastscp.process.child import SystemProcesses
from fastscp.process.loop import Loop


def test_lines() -> None:
    written: list[str] = []
    times = iter([0.0, 2.0, 4.0])
    lines = Lines(written.append, lambda: next(times))
    lines.show(Tally(stored=10, refused=1, octets=2_500_000), None)
    lines.end(Tally(stored=20, foreign=3, known=4))
    assert written == ["10 stored, 1 refused; 2.5 MB in 2.0 s (5 objects/s)\n",
                       "20 stored, 3 not DICOM, 4 done before; 0 octets in 4.0 s (5 objects/s)\n"]


@pytest.mark.parametrize(("octets", "text"), [(0, "0 octets"), (999, "999 octets"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (7e12, "7.0 TB")])
def test_sizes(octets: float, text: str) -> None:
    assert size_text(octets) == text


def test_what_is_shown_depends_on_where(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress(quiet=True, write=print), Silent)
    monkeypatch.setattr(os, "isatty", lambda _descriptor: False)
    assert type(progress(quiet=False, write=print)) is Lines
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    monkeypatch.setattr(module, "_rich", lambda: None)
    assert type(progress(quiet=False, write=print)) is Lines


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(os, "isatty", lambda _descriptor: True)
    written: list[str] = []
    bar = progress(quiet=False, write=written.append)
    assert isinstance(bar, Bar)
    bar.show(Tally(stored=10), None)
    bar.show(Tally(stored=10), 40)
    assert bar._bar.tasks[0].total == 40
    bar.show(Tally(stored=50), 40)
    assert (bar._bar.tasks[0].completed, bar._bar.tasks[0].total) == (50, 50)
    assert "0 failed" in bar._bar.tasks[0].fields["rate"]
    bar.end(Tally(stored=50))
    assert len(written) == 1


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a", "b/c", "b/d.zip"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"PK\x03\x04" if name.endswith("zip") else b"")
    return tmp_path / "in"


def test_sources_are_counted_without_archives(source: Path) -> None:
    assert count([str(source)], follow_links=False, avoided=frozenset()) == 2


def test_a_process_counts(source: Path) -> None:
    loop = Loop()
    counter = Counter((str(source),), SystemProcesses(), follow_links=False, avoided=frozenset())
    counter.watch(loop)

    def look() -> None:
        if counter.total is not None:
            loop.stop()
        loop.call_later(0.01, look)

    look()
    loop.call_later(20, loop.stop)
    loop.run()
    assert counter.total == 2
    counter.close()
    loop.close()


def test_a_list_is_not_counted() -> None:
    counter = Counter(("-",), SystemProcesses(), follow_links=False, avoided=frozenset())
    loop = Loop()
    counter.watch(loop)
    counter.close()
    loop.close()
    assert counter.total is None
