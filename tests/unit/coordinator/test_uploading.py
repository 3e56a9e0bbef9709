"""The coordinator's part in an object store: when the process is started, what is written down of what it says. No process runs."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fastscp.coordinator.beside import Beside
from fastscp.coordinator.measures import Depths, Measures
from fastscp.coordinator.retention import Retention
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.upload_journal import UploadJournal
from fastscp.coordinator.upload_rows import UploadRows
from fastscp.coordinator.uploading import LOOK_S, StoreState, Uploading
from fastscp.metrics import table
from tests.support import said
from tests.support.fakes import FakeLoop
from tests.support.started import Started


class Site(Started):
    def __init__(self) -> None:
        self.loop = FakeLoop()
        super().__init__(self.loop)
        self.state = SqliteState(None)
        self.rows = UploadRows(self.state.engine)
        self.journal = UploadJournal(self.rows)
        self.rounds = 0
        self.uploading = Uploading(self.loop, self.journal, Retention(self.rows, None, wall=lambda: 7.0),  # type: ignore[arg-type]
                                   {"kind": "begin"}, self.start)
        self.uploading.changed = self.round

    def round(self) -> None:
        self.rounds += 1

    def stored(self, name: str = "CT.1") -> int:
        self.journal.stored(said.stored(1, "1", "/in/1", name, sha256="aa" * 32), "")  # type: ignore[arg-type]
        return int(self.state.engine.read("SELECT max(number) FROM uploads").fetchone()[0])


@pytest.fixture
def site() -> Site:
    found = Site()
    found.uploading.begin()
    return found


def test_the_process_is_told_what_to_do(site: Site) -> None:
    assert site.heard() == [{"kind": "begin"}]
    assert site.uploading.state.away  # until it says that the store is there


def test_what_the_store_has_is_written_down_once(site: Site) -> None:
    number = site.stored()
    before = site.rounds
    for _ in range(2):
        site.say(kind="confirmed", number=number, identity="1:2:3:4", key="p/k", size=9)
    assert site.rounds == before + 1
    assert site.state.engine.read("SELECT confirmed FROM uploads").fetchall() == [("1:2:3:4",)]
    assert (site.uploading.uploaded, site.uploading.uploaded_octets) == (1, 9)
    site.say(kind="confirmed", number=99, identity="1:2:3:4", key="p/k", size=9)
    assert site.uploading.uploaded == 1


def test_an_end_that_has_its_manifest_is_written_down(site: Site) -> None:
    site.rows.end(3, 1, "1", 1, "/in/1")
    site.say(kind="written", part=3)
    assert site.state.engine.read("SELECT written FROM parts").fetchall() == [(7.0,)]


def test_how_much_waits_is_known(site: Site) -> None:
    site.say(kind="state", away=False, objects=3, octets=9, unreadable=1)
    assert site.uploading.state == StoreState(False, 3, 9, 1)


def test_a_process_that_ends_is_started_again_after_growing_pauses(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.say(kind="state", away=False, objects=3, octets=9, unreadable=0)
    for pause_s in (1.0, 2.0, 4.0):
        site.die()
        assert site.uploading.state == StoreState(True, 3, 9, 0)
        count = len(site.processes)
        site.loop.advance(pause_s - 0.1)
        assert len(site.processes) == count
        site.loop.advance(0.2)
        assert len(site.processes) == count + 1
    assert caplog.text.count("starting another") == 3
    site.say(kind="state", away=False, objects=0, octets=0, unreadable=0)  # it lives: the next pause is short
    site.die()
    site.loop.advance(1.1)
    assert len(site.processes) == 5


def test_a_process_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    site = Site()
    site.refuses = True
    site.uploading.begin()
    assert "cannot start the process for the object store" in caplog.text
    site.refuses = False
    site.loop.advance(1.1)
    assert len(site.processes) == 1


def test_the_end(site: Site) -> None:
    site.uploading.end()
    site.uploading.end()
    assert site.processes[0].waited == 1
    assert site.loop.masks == {}
    rounds = site.rounds
    site.loop.advance(60)
    assert (site.rounds, len(site.processes)) == (rounds, 1)


def test_a_look_at_what_may_go_takes_a_round_and_has_it_committed(site: Site) -> None:
    site.uploading.committed()
    rounds = site.rounds
    number = site.stored()
    site.rows.add_to_part(1, "/in/1", ["CT.1"])
    site.rows.end(1, 1, "1", 1, "/in/1")
    site.say(kind="confirmed", number=number, identity="1:2:3:4", key="p/k", size=9)
    site.say(kind="written", part=1)
    site.loop.advance(LOOK_S + 0.01)
    assert site.rounds > rounds
    rounds = site.rounds
    site.uploading.committed()
    assert site.rounds == rounds + 1
    assert site.state.engine.read("SELECT count(*) FROM uploads").fetchone() == (0,)


def test_who_follows_files() -> None:
    site = Site()
    assert Beside().files is None
    assert Beside(uploading=site.uploading).files is not None


class Ledger:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def set(self, metric: Any, value: float, *_labels: str) -> None:
        self.values[metric.name] = value

    def add(self, metric: Any, *_labels: str, by: float = 1) -> None:
        self.values[metric.name] = self.values.get(metric.name, 0) + by

    def report(self, _lists: Any) -> bool:
        return True


def test_metrics(site: Site) -> None:
    ledger = Ledger()
    measures = Measures(ledger)  # type: ignore[arg-type]
    site.say(kind="state", away=False, objects=3, octets=9, unreadable=1)
    number = site.stored()
    site.say(kind="confirmed", number=number, identity="1:2:3:4", key="p/k", size=9)
    for _ in range(2):
        measures.look(Depths(store=site.uploading))
    found = {metric: ledger.values[metric.name] for metric in (
        table.STORE_AWAY, table.STORE_WAITING, table.STORE_WAITING_BYTES, table.STORE_UNREADABLE, table.STORE_OBJECTS, table.STORE_BYTES)}
    assert list(found.values()) == [0, 3, 9, 1, 1, 9]
