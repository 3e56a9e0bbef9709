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
