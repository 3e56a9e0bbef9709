"""Requests for commitment from their file to the requestor's knowledge: verdicts, waiting, reports, tries; no time passes by itself."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp.commitment import lookup, requests
from fastscp.commitment.carrying import ANSWER_S, Carrier, World
from fastscp.commitment.messages import Action, Failure, Reference, Result
from fastscp.commitment.outward import NotToldError
from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy
from fastscp.commitment.requests import Pending
from fastscp.commitment.verdicts import Entry, failure_of

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ONE, TWO = Reference(CT, "1.2.1"), Reference(CT, "1.2.2")
PEER = CommitmentPeer("MODALITY", "modality.example", 104)
POLICY = CommitmentPolicy((PEER,), wait_s=30, retry_pause_s=60, give_up_s=1000)


def entry(reference: Reference, *, file: str = "f", stored: float = 0.0, sop_class: str = CT) -> Entry:
    return Entry(reference.sop_instance, sop_class, "/data", file, 10, None, stored)


class Site:
    """What a carrier is surrounded by."""

    def __init__(self, directory: Path, policy: CommitmentPolicy = POLICY) -> None:
        self.directory = directory
        self.now = 1000.0
        self.index: dict[str, list[Entry]] = {}
        self.problems: dict[str, int] = {}
        self.looked: list[str] = []
        self.told: list[tuple[CommitmentPeer, str, Result]] = []
        self.reports: list[tuple[str, str]] = []
        self.away = False
        self.policy = policy
        self.carrier = self.another()

    def another(self) -> Carrier:
        """A process that begins with what is in the directory."""
        return Carrier(self.directory, self.policy, World(
            lambda uid: self.index.get(uid, []), self.secure, self.tell, lambda name, file: self.reports.append((name, file)), lambda: self.now))

    def secure(self, entry: Entry) -> int:
        self.looked.append(entry.sop_instance)
        return self.problems.get(entry.file, 0)

    def tell(self, peer: CommitmentPeer, title: str, result: Result) -> None:
        if self.away:
            raise NotToldError("no association with it")
        self.told.append((peer, title, result))

    def ask(self, *references: Reference, association: str = "", title: str = "MODALITY") -> Path:
        return requests.put(self.directory, Pending(Action("1.9", references or (ONE,)), title, "GATEWAY", association, self.now))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "commitments")


def test_nothing_to_do(site: Site) -> None:
    assert site.carrier.step() is None


def test_committed_objects_are_told_at_once_and_the_request_goes(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    path = site.ask()
    assert site.carrier.step() is None
    assert site.told == [(PEER, "GATEWAY", Result("1.9", (ONE,)))]
    assert not path.exists()


def test_missing_objects_are_waited_for_and_what_was_found_is_not_looked_at_again(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.ask(ONE, TWO)
    assert site.carrier.step()
    site.now += 29
    assert site.carrier.step()
    assert (site.told, site.looked) == ([], ["1.2.1"])
    site.index["1.2.2"] = [entry(TWO)]
    site.carrier.step()
    assert site.told[0][2] == Result("1.9", (ONE, TWO))


def test_wait_is_over(site: Site) -> None:
    site.ask(ONE)
    site.carrier.step()
    site.now += 30
    site.carrier.step()
    assert site.told[0][2] == Result("1.9", (), (Failure(ONE, 0x0112),))


def test_conflict_of_classes_is_not_waited_for(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE, sop_class=MR)]
    site.ask(ONE)
    site.carrier.step()
    assert site.told[0][2].failed == (Failure(ONE, 0x0119),)


@pytest.mark.parametrize(("files", "problems", "reason"), [
    ([], {}, 0x0112), (["a"], {}, 0), (["a"], {"a": 0x0112}, 0x0112), (["a"], {"a": 0x0110}, 0x0110), (["a"], {"a": 0x0213}, 0x0213),
    (["a", "b"], {"b": 0x0110}, 0), (["a", "b"], {"a": 0x0110, "b": 0x0112}, 0x0110)])
def test_reasons(files: list[str], problems: dict[str, int], reason: int) -> None:
    entries = [entry(ONE, file=file, stored=number) for number, file in enumerate(files)]
    assert failure_of(ONE, entries, lambda found: problems.get(found.file, 0)) == reason


def test_open_association_is_told_first(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    path = site.ask(association="w-1")
    assert site.carrier.step()
    site.carrier.step()
    assert (site.reports, site.told) == ([("w-1", path.name)], [])
    site.carrier.reported(path.name, 0)
    assert not path.exists()
    assert site.carrier.step() is None


@pytest.mark.parametrize("status", [None, 0x0110])
def test_association_that_is_gone_is_followed_by_ours(site: Site, status: int | None) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    path = site.ask(association="w-1")
    site.carrier.step()
    site.carrier.reported(path.name, status)
    assert site.carrier.step() is None
    assert len(site.told) == 1


def test_report_that_nobody_answers_is_followed_by_ours(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.ask(association="w-1")
    site.carrier.step()
    site.now += ANSWER_S + 1
    site.carrier.step()
    site.carrier.step()
    assert len(site.told) == 1


def test_word_about_what_was_not_asked_for_is_of_no_consequence(site: Site) -> None:
    site.away = True
    path = site.ask()
    site.carrier.reported(path.name, 0)
    assert path.exists()


def test_pauses_grow_and_come_to_an_end(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.away = True
    path = site.ask()
    pauses = []
    while (pause := site.carrier.step()) is not None:
        pauses.append(pause)
        site.now += pause
    assert pauses == [60, 120, 240, 480]
    assert not path.exists()
    assert "giving up after 5 tries" in caplog.text


def test_try_is_not_made_before_its_time(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.away = True
    site.ask()
    site.carrier.step()
    site.away = False
    site.now += 59
    assert site.carrier.step() == 1
    assert site.told == []
    site.now += 1
    site.carrier.step()
    assert len(site.told) == 1


def test_requestor_without_an_address_is_tried_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.ask(title="OTHER")
    assert site.carrier.step() == 60
    assert "no address is configured" in caplog.text


def test_another_process_goes_on_with_what_was_found(site: Site) -> None:
    site.index["1.2.1"] = [entry(ONE)]
    site.away = True
    site.ask()
    site.carrier.step()
    site.index.clear()
    site.away, site.now = False, site.now + 60
    site.another().step()
    assert site.told[0][2] == Result("1.9", (ONE,))


def test_asking_twice_is_asking_once(site: Site) -> None:
    assert site.ask() == site.ask()
    assert len(requests.waiting(site.directory)) == 1
    assert site.ask(title="OTHER") != site.ask()


def test_what_is_no_request_is_removed(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    path = site.ask()
    path.write_text("{}")
    assert site.carrier.step() is None
    assert not path.exists()
    assert "is no request" in caplog.text
    assert requests.read(path) is None


@pytest.mark.parametrize("durable", [False, True])
def test_request_comes_back_as_it_was_put(tmp_path: Path, durable: bool) -> None:
    pending = Pending(Action("1.9", (ONE, TWO)), "Ä", "B", "w", 5.0, Result("1.9", (ONE,), (Failure(TWO, 0x110),)), 3, 7.0)
    path = requests.put(tmp_path / "deep" / "er", pending, durable=durable)
    assert requests.read(path) == replace(pending, path=path)


# -- files -------------------------------------------------------------------------------------------


def test_file_is_secured_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(bytes(10))
    flushed: list[Any] = []
    monkeypatch.setattr(lookup.os, "fsync", lambda descriptor: flushed.append("file"))
    monkeypatch.setattr(lookup, "flush_directory", flushed.append)
    assert lookup.secure(Entry("1", CT, str(tmp_path), "f", 10, None, 0)) == 0
    assert flushed == ["file", str(tmp_path)]


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, 0x0213), (errno.EIO, 0x0110), (errno.EDQUOT, 0x0213)])
def test_disk_that_takes_nothing_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: int) -> None:
    (tmp_path / "f").write_bytes(bytes(10))

    def fail(_descriptor: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(lookup.os, "fsync", fail)
    assert lookup.secure(Entry("1", CT, str(tmp_path), "f", 10, None, 0)) == reason


def test_what_is_not_as_it_was_is_not_committed(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "short")
    found = {name: lookup.secure(Entry("1", CT, str(tmp_path), name, 10, None, 0)) for name in ("gone", "short", "directory", "link", "short/f")}
    assert found == {"gone": 0x0112, "short": 0x0110, "directory": 0x0110, "link": 0x0110, "short/f": 0x0112}
