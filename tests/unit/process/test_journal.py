"""What a worker answered is in its journal until the state has it, and a journal lies about nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.process import journal as journal_module
from fastscp.process.journal import EMPTIED_AT, Journal, Journals


def lines(directory: Path, name: str = "w") -> list[bytes]:
    return list(Journals(directory).read(name))


def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    Journal(tmp_path, "w").close()
    assert os.listdir(tmp_path) == []
    assert Journals(tmp_path / "missing").incarnations() == []
    assert lines(tmp_path) == []


def test_who_an_association_is_is_said_once_in_front_of_its_first_event(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    assert journal.keep("a", b"A", b"1")
    assert journal.keep("b", b"B", b"2")
    assert journal.keep("a", b"A", b"3")
    assert lines(tmp_path) == [b"A", b"1", b"B", b"2", b"3"]
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o600


def test_line_that_is_not_whole_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"A\n1\ntor")
    assert lines(tmp_path) == [b"A", b"1"]


def test_it_is_emptied_when_the_state_has_everything_and_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.keep("a", b"A", b"1")
    journal.settled()
    assert lines(tmp_path) == [b"A", b"1"], "not worth a call yet"
    journal.keep("a", b"A", b"x" * EMPTIED_AT)
    journal.settled()
    assert lines(tmp_path) == []
    journal.keep("a", b"A", b"2")
    assert lines(tmp_path) == [b"A", b"2"], "who it is is said again"


def test_it_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MOST_OCTETS", 10)
    journal = Journal(tmp_path, "w")
    assert journal.keep("a", b"A", b"1234")
    assert not journal.keep("a", b"A", b"5678")
    assert journal.keep("a", b"A", b"56")
    assert lines(tmp_path) == [b"A", b"1234", b"56"]


def test_one_that_is_settled_is_removed_at_the_end_and_another_stays(tmp_path: Path) -> None:
    for name, settled in (("done", True), ("left", False)):
        journal = Journal(tmp_path, name)
        journal.keep("a", b"A", b"1")
        journal.close(settled=settled)
    assert Journals(tmp_path).incarnations() == ["left"]


def test_journal_of_a_living_worker_is_not_removed(tmp_path: Path) -> None:
    journal, journals = Journal(tmp_path, "w"), Journals(tmp_path)
    journal.keep("a", b"A", b"1")
    journals.remove("w")
    assert journals.incarnations() == ["w"]
    journal.close()
    journals.remove("w")
    assert journals.incarnations() == []
    journals.remove("w")


def test_journal_that_cannot_be_made_keeps_nothing_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path / "missing", "w")
    assert not journal.keep("a", b"A", b"1")
    assert not journal.keep("a", b"A", b"2")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("room", [0, 1, 3])
def test_what_a_full_disk_took_in_part_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    journal = Journal(tmp_path, "w")
    journal.keep("a", b"A", b"1")
    real = os.write

    def full(fd: int, octets: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, octets[:room])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert not journal.keep("a", b"A", b"22\n33")
    assert lines(tmp_path) == [b"A", b"1"]


def test_file_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.keep("a", b"A", b"x" * EMPTIED_AT)
    (tmp_path / "w").unlink()
    journal.settled()
    assert journal.keep("a", b"A", b"2")
    assert lines(tmp_path) == [b"A", b"2"]
