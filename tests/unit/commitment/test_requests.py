"""Requests for commitment on the disk: what is kept, and what is done with what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.commitment import requests
from fastscp.commitment.messages import Action, Reference
from fastscp.commitment.requests import Pending

PENDING = Pending(Action("1.2", (Reference("1", "2"),)), "A", "B", "w-1", 5.0)


def test_request_that_was_kept_is_read(tmp_path: Path) -> None:
    path = requests.put(tmp_path, PENDING)
    assert requests.waiting(tmp_path) == [path]
    kept = requests.read(path)
    assert kept is not None
    assert (kept.action, kept.calling_aet, kept.association, kept.received) == (PENDING.action, "A", "w-1", 5.0)


def test_what_is_no_request_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    assert requests.read(path) is None
    assert not path.exists()
    assert "is no request for commitment, removed" in caplog.text


def test_request_that_the_disk_does_not_give_now_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was answered with success: a fault of the moment, such as too many open files, must not end it."""
    path = requests.put(tmp_path, PENDING)
    octets = path.read_bytes()
    path.unlink()
    path.mkdir()  # read(2) fails
    assert requests.read(path) is None
    assert "cannot be read" in caplog.text
    path.rmdir()
    path.write_bytes(octets)
    assert requests.read(path) is not None


def asked(title: str, transaction: int, references: int = 1) -> Pending:
    return Pending(Action(str(transaction), (Reference("1", "2"),) * references), title, "B", "w-1", 5.0)


def test_one_title_leaves_others_their_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_OF_TITLE", 3)
    assert requests.has_room(tmp_path / "none yet", PENDING)
    for number in range(3):
        assert requests.has_room(tmp_path, asked("A", number))
        requests.put(tmp_path, asked("A", number))
    assert not requests.has_room(tmp_path, asked("A", 3))
    assert requests.has_room(tmp_path, asked("A", 1)), "it replaces one"
    assert requests.has_room(tmp_path, asked("B", 3))
    requests.waiting(tmp_path)[0].unlink()
    assert requests.has_room(tmp_path, asked("A", 3))


@pytest.mark.parametrize("limit", [{"MOST": 3}, {"MOST_OCTETS": 1000}])
def test_what_waits_is_bounded_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(requests, name, value)
    number = 0
    while requests.has_room(tmp_path, asked(f"T{number}", number)):
        requests.put(tmp_path, asked(f"T{number}", number, 10))
        number += 1
    assert 1 < number < 10
