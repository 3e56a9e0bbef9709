"""Destinations that are paths; sockets and standard output are in tests/process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.coordinator.destination import PathDestination


def test_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"1")
    destination = PathDestination(str(path))
    destination.open()
    assert destination.write(b"23") == 2
    destination.close()
    destination.close()
    assert path.read_bytes() == b"123"
    assert destination.fd == -1
    assert not destination.is_socket


def test_each_opening_finds_out_anew_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "events"
    destination = PathDestination(str(path))
    destination.open()
    destination.write(b"1")
    destination.close()
    path.unlink()
    os.mkfifo(path)
    destination.open()
    destination.write(b"2")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 10) == b"2"
    os.close(reader)
    destination.close()


def test_full_fifo_takes_nothing_and_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    destination = PathDestination(str(path))
    destination.open()
    with pytest.raises(BlockingIOError):  # noqa: PT012 - how often it takes something is the system's business
        for _ in range(10_000):
            destination.write(b"x" * 4096)
    destination.close()


def test_standard_output_is_never_closed_and_gets_small_pieces(capfd: pytest.CaptureFixture[str]) -> None:
    destination = PathDestination("-")
    destination.open()
    assert destination.write(b"x" * 100_000) == 4096
    destination.close()
    assert destination.fd == 1
    assert destination.write(b"y") == 1
    assert capfd.readouterr().out == "x" * 4096 + "y"


def test_path_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PathDestination(str(tmp_path / "nowhere" / "events")).open()
