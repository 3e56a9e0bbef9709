"""A program beside the coordinator: what it hears, what it tells, and that it ends with its channel."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastscp.process import fdpass
from fastscp.process.attached import Attachment

PROGRAMS = ("fastscp.fleet.program", "fastscp.objects.program", "fastscp.commitment.program")


@pytest.fixture
def ends() -> Iterator[tuple[Attachment, socket.socket]]:
    ours, theirs = fdpass.channel_pair()
    with ours, theirs:
        theirs.setblocking(True)
        yield Attachment(ours), theirs


def test_packets_that_are_there_are_heard_and_nobody_waits_for_more(ends: tuple[Attachment, socket.socket]) -> None:
    attachment, other = ends
    other.send(b'{"kind":"begin"}')
    assert attachment.begin() == {"kind": "begin"}
    assert list(attachment.packets()) == []
    other.send(b'{"kind":"a"}')
    other.send(b'{"kind":"b"}')
    assert [packet["kind"] for packet in attachment.packets()] == ["a", "b"]
    assert not attachment.over


def test_what_was_said_before_the_end_is_heard(ends: tuple[Attachment, socket.socket]) -> None:
    attachment, other = ends
    other.send(b'{"kind":"begin"}')
    other.send(b'{"kind":"leave"}')
    other.close()
    attachment.begin()
    assert [packet["kind"] for packet in attachment.packets()] == ["leave"]
    assert attachment.over
    assert list(attachment.packets()) == []


def test_who_does_not_read_is_told_later_and_who_is_gone_need_not_know(ends: tuple[Attachment, socket.socket]) -> None:
    attachment, other = ends
    other.send(b'{"kind":"begin"}')
    attachment.begin()
    while attachment.tell({"kind": "state", "text": "x" * 1000}):
        pass
    other.recv(1 << 16)
    assert attachment.tell({"kind": "state"})
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()  # with packets that were not read: the end is a reset
    assert attachment.tell({"kind": "state"})
    assert list(attachment.packets()) == []
    assert attachment.over


def test_a_path_that_is_no_text_gets_there(ends: tuple[Attachment, socket.socket]) -> None:
    attachment, other = ends
    other.send(b'{"kind":"begin"}')
    attachment.begin()
    assert attachment.tell({"path": "\udcff"})
    assert other.recv(100) == '{"path":"\U0010dcff"}'.encode()


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_finds_nobody_there_ends_without_a_word(program: str) -> None:
    """The coordinator may die between the start of a program and its first packet."""
    ours, theirs = fdpass.channel_pair()
    ours.close()
    with theirs:
        done = subprocess.run([sys.executable, "-m", program, str(theirs.fileno())], pass_fds=(theirs.fileno(),), capture_output=True, check=False,
                              timeout=60, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
