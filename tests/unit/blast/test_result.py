from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from fastscp.blast import show
from fastscp.blast.plot import columns, svg
from fastscp.blast.result import Result
from fastscp.blast.tally import SLICE_S, Book, Slice, Tally
from fastscp.blast.verify import Findings


def book(slices: int = 4) -> Book:
    made = Book()
    for number in range(slices):
        tally = Tally(numbers=True)
        tally.associations = 1
        tally.setup.record(0.001)
        for index in range(10):
            tally.began(number * 10 + index)
            tally.acknowledged(number * 10 + index, 1000, 0.002 * (index + 1))
        made.enter(0, json.loads(json.dumps(tally.said(number * SLICE_S, 3))))
    return made


def result(**more: Any) -> Result:
    return Result(**{"seconds": 2.0, "book": book(), "cpu_s": 0.4, "busiest": 0.3, "processes": 2, **more})


def test_slices_add_up() -> None:
    made = book()
    assert (made.objects, made.octets, made.associations, made.open) == (40, 40_000, 4, {0: 3})
    assert (made.stored, made.sent) == (set(range(40)), set(range(40)))
    assert (made.latency.total, made.latency.longest_us) == (40, 20_000)
    assert [part.objects for part in made.slices.values()] == [10] * 4


def test_nothing_is_said_twice() -> None:
    tally = Tally(numbers=True)
    tally.acknowledged(1, 10, 0.1)
    tally.failed_objects["x"] += 1
    first, second = tally.said(0, 0), tally.said(1, 0)
    assert (first["objects"], first["stored"], first["failed_objects"]) == (1, [1], {"x": 1})
    assert (second["objects"], second["stored"], second["failed_objects"], second["latency"]) == (0, [], {}, [[], 0])


def test_numbers_are_kept_only_where_they_are_wanted() -> None:
    tally = Tally(numbers=False)
    tally.began(1)
    tally.acknowledged(1, 10, 0.1)
    told = tally.said(0, 0)
    assert (told["stored"], told["sent"], told["objects"]) == ([], [], 1)


def test_figures() -> None:
    told = json.loads(json.dumps(result().as_json()))
    assert (told["objects_per_s"], told["octets_per_s"], told["exit_status"]) == (20, 20_000, 0)
    assert told["object_latency_ms"]["p50"] == pytest.approx(10, rel=0.001)
    assert told["object_latency_ms"]["max"] == 20
    assert told["tester"] == {"processes": 2, "cpu_s": 0.4, "cpu_us_per_object": pytest.approx(10_000), "busiest": 0.3, "is_the_bottleneck": False}
    assert [part["objects"] for part in told["timeline"]] == [10] * 4


@pytest.mark.parametrize(("more", "status"), [
    ({}, 0), ({"interrupted": True}, 3), ({"findings": {"d": Findings()}}, 0), ({"findings": {"d": Findings(lost=["x"])}}, 1),
    ({"findings": {"d": Findings(), "e": Findings(studies=["x"])}}, 1), ({"findings": {"d": Findings(unasked=["x"])}}, 1)])
def test_exit_status(more: dict[str, Any], status: int) -> None:
    assert result(**more).exit_status == status


@pytest.mark.parametrize("which", ["failed_objects", "failed_associations"])
def test_what_failed_is_told_and_makes_the_status(which: str) -> None:
    failed = result()
    getattr(failed.book, which)["status A700H"] += 2
    assert failed.exit_status == 1
    assert f"{which.replace('_', ' ')}: 2 status A700H".replace("failed objects", "failed objects") in show.plain(failed)


def test_a_tester_that_is_the_bottleneck_says_so() -> None:
    assert "the tester is the bottleneck" in show.plain(result(busiest=0.95))
    assert "bottleneck" not in show.plain(result(busiest=0.5))


def test_the_table_names_some_findings_and_counts_the_rest() -> None:
    text = show.plain(result(findings={"/d": Findings(found=3, lost=[f"1.{number}" for number in range(15)], double=["2.1 in a and b"])}))
    assert "/d: 3 acknowledged objects found; 15 lost, 1 double" in text
    assert "  lost: 1.9\n" in text
    assert "1.10" not in text
    assert "  lost: and 5 more\n" in text
    assert "  double: 2.1 in a and b" in text


def test_the_plot_has_a_column_for_each_stretch_of_time() -> None:
    slices = {0: Slice(objects=10), 3: Slice(objects=20, failures=2)}
    shown = columns(slices)
    assert [(column.second, column.rate, column.failures) for column in shown] == [(0, 20, 0), (0.5, 0, 0), (1.0, 0, 0), (1.5, 40, 2)]
    assert [column.rate for column in columns(slices, 2)] == [10, 20]
    assert len(columns({100_000: Slice()})) <= 400
    assert columns({}) == []


@pytest.mark.parametrize("made", [result(), result(book=Book(), seconds=0.0)])
def test_the_plot_is_an_svg(made: Result) -> None:
    made.book.slices.get(1, Slice()).failures = 1
    root = ElementTree.fromstring(svg(made))
    assert len(root.findall("{*}polyline")) == 3
    assert len([line for line in root.findall("{*}line") if line.get("class") == "failed"]) == min(1, len(made.book.slices))


def test_progress_is_of_the_last_seconds() -> None:
    assert show.progress_line(book(), 2.0) == "2 s: 40 objects, 20/s, 0.0 MB/s, p99 20.0 ms, 3 associations open, 0 failed"


def test_what_suits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    assert isinstance(show.show(quiet=True, write=lines.append), show.Silent)
    plain = show.show(quiet=False, write=lines.append)
    assert type(plain) is show.Lines
    plain.update(book(), 2.0)
    plain.say("looking")
    plain.done()
    assert [line[:8] for line in lines] == ["2 s: 40 ", "looking\n"]
    monkeypatch.setattr("os.isatty", lambda _descriptor: True)
    live = show.show(quiet=False, write=lines.append)
    assert isinstance(live, show.Live)
    live.update(book(), 2.0)
    live.done()
    monkeypatch.setattr(show, "_rich", lambda: None)
    assert type(show.show(quiet=False, write=lines.append)) is show.Lines


def test_rich_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.isatty", lambda _descriptor: True)
    show.report(result(findings={"[d]": Findings(found=3)}), print)
    text = capsys.readouterr().out
    assert "objects/s" in text
    assert "[d]: all 3 acknowledged objects found" in text
