"""What is told of studies to a fleet, and in which order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastscp import jsontext
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import ProcessError
from fastscp.fleet.journal import MOST_ENTRIES, JournalReader
from fastscp.study.state import ObjectRow
from tests.support import said


class Site:
    def __init__(self, state: SqliteState | None = None) -> None:
        self.state = state or SqliteState(None)
        self.journal = FleetJournal(self.state, epoch="e")

    def kinds(self) -> list[tuple[str, int]]:
        return [(kind, jsontext.loads(body)["number"]) for kind, body in self.state._read("SELECT kind, body FROM entries ORDER BY number")]

    def hold(self, number: int) -> None:
        self.journal.hold(number, f"1.{number}", f"1.{number}", 2)


def test_a_study_is_released_when_its_files_are_finished() -> None:
    site = Site()
    site.hold(1)
    site.journal.ended(1)
    site.journal.finishing(1)
    assert site.kinds() == [("hold", 1)]
    site.journal.finished(1, "1.1", "timeout")
    assert site.kinds() == [("hold", 1), ("release", 1)]


def test_a_study_that_was_opened_again_under_its_number_stays_held() -> None:
    """``--on-late append``: the files of its first end are finished when an object of the next one is on its way."""
    site = Site()
    site.hold(1)
    site.journal.ended(1)
    site.journal.finishing(1)
    site.hold(1)
    site.journal.finished(1, "1.1", "timeout")
    assert site.kinds() == [("hold", 1), ("hold", 1)]
    site.journal.ended(1)
    site.journal.finishing(1)
    site.journal.finished(1, "1.1", "timeout")
    assert site.kinds()[-1] == ("release", 1)


def test_a_study_is_held_until_the_files_of_all_its_ends_are_finished() -> None:
    site = Site()
    for _ in range(2):
        site.hold(1)
        site.journal.ended(1)
        site.journal.finishing(1)
    site.journal.finished(1, "1.1", "timeout")
    assert ("release", 1) not in site.kinds()
    site.journal.finished(1, "1.1", "timeout")
    assert site.kinds()[-1] == ("release", 1)


def test_a_study_without_an_object_is_released() -> None:
    site = Site()
    site.hold(1)
    site.journal.void(1, "1.1")
    assert site.kinds() == [("hold", 1), ("release", 1)]


def test_a_void_study_whose_earlier_end_is_not_finished_is_held_until_then() -> None:
    site = Site()
    site.journal.finishing(1)
    site.hold(1)
    site.journal.void(1, "1.1")
    assert site.kinds() == [("hold", 1)]
    site.journal.finished(1, "1.1", "timeout")
    assert site.kinds()[-1] == ("release", 1)


def test_entries_are_counted_over_the_life_of_the_state() -> None:
    site = Site()
    site.hold(1)
    site.hold(2)
    again = FleetJournal(site.state)
    assert again.waiting == 2
    assert again.epoch != "e"
    again.hold(3, "1.3", "1.3", 2)
    assert (again.waiting, again.last) == (3, 3)


def test_what_is_shipped_is_dropped_once() -> None:
    site = Site()
    for number in (1, 2, 3):
        site.hold(number)
    assert site.journal.shipped(2)
    assert not site.journal.shipped(2)
    assert not site.journal.shipped(1)
    assert site.kinds() == [("hold", 3)]
    assert site.journal.waiting == 1


def test_numbers_go_on_when_everything_is_shipped() -> None:
    site = Site()
    site.hold(1)
    site.journal.shipped(1)
    site.hold(2)
    assert site.journal.last == 2


def test_texts_of_peers_have_nothing_that_a_database_refuses() -> None:
    site = Site()
    opened = {**said.opened("a", calling="A\0B"), "sender": ""}
    site.journal.stored(1, "1.1", "1.1", 2, {**said.stored(1, "1.1", "/in"), "modality": "C\0T"}, opened)
    (body,) = (jsontext.loads(row[0]) for row in site.state._read("SELECT body FROM entries"))
    assert body["caller"]["calling_aet"] == "AB"
    assert body["objects"][0]["modality"] == "CT"
    assert body["objects"][0]["path"] == "/in/CT.1"


def test_final_places_are_told_with_everything_about_their_objects() -> None:
    """The fleet may never have heard of them: it is newer than they are."""
    site = Site()
    packet: Any = said.stored(1, "1.1", "/in", sha256="ab")
    site.journal.final(1, "1.1", "/done", [(ObjectRow("CT.1", "CT000001", "a", b"", b""), packet)])
    site.journal.final(1, "1.1", "/done", [])
    ((kind, body),) = site.state._read("SELECT kind, body FROM entries").fetchall()
    assert kind == "final"
    assert jsontext.loads(body)["objects"] == [{
        "sop_instance_uid": "1.1.CT.1", "sha256": "ab", "path": "/done/CT000001", "size": 100, "series_uid": "1.1.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "transfer_syntax_uid": "1.2.840.10008.1.2", "modality": "CT"}]


def test_a_gateway_keeps_its_name() -> None:
    state = SqliteState(None)
    assert state.gateway("first") == "first"
    assert state.gateway("second") == "first"


def test_what_is_committed_can_be_read_beside_the_coordinator(tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(b"state\xff")  # no text
    directory.mkdir()
    site = Site(SqliteState(directory))
    for number in range(1, MOST_ENTRIES + 3):
        site.hold(number)
    reader = JournalReader(directory / FILE_NAME)
    assert reader.after(0) == []
    site.state.commit()
    first = reader.after(0)
    assert [entry.number for entry in first] == list(range(1, MOST_ENTRIES + 1))
    assert (first[0].kind, first[0].epoch, first[0].body["key"]) == ("hold", "e", "1.1")
    assert [entry.number for entry in reader.after(MOST_ENTRIES)] == [MOST_ENTRIES + 1, MOST_ENTRIES + 2]
    site.state.close()


def test_a_journal_that_cannot_be_read_is_a_fault_of_this_process(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="cannot be read"):
        JournalReader(tmp_path / "gone").after(0)
