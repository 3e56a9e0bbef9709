"""The first process of a service that belongs to a program: what it makes of what it is told."""

from __future__ import annotations

import json
import os
import socket

import pytest

from fastscp.config import Config
from fastscp.embedding import program
from fastscp.embedding.start import Start, decode, encode, read_line
from fastscp.errors import ProcessError
from fastscp.study.policy import ReaderPolicy

START = Start((("--output-directory", ("/d\udcff",)), ("--padding-create", ("4", "2"))), ("--ignore",), "0", 5, ("object.stored",))


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_start_arrives_as_it_was_sent(ends):
    ends[0].sendall(encode(START))
    assert decode(read_line(ends[1])) == START
    line = START.line()
    assert line.value("--output-directory") == "/d\udcff"
    assert line.last("--padding-create") == ("4", "2")
    assert (line.parameters, line.without) == (("0",), frozenset({"--ignore"}))


def test_a_program_that_is_gone_before_it_said_anything(ends):
    ends[0].sendall(b"half a line")
    ends[0].close()
    with pytest.raises(ProcessError, match="gone"):
        read_line(ends[1])


def test_sections_have_the_reader_as_well():
    reader = ReaderPolicy(5, frozenset({"object.stored"}))
    config = program.with_reader(Config(by_sender={"ct": Config()}), reader)
    assert config.tells_events
    assert config.by_sender["ct"].tells_events


def served(monkeypatch, ends, start):
    """Return what ``run`` would be called with, and the status."""
    calls = []
    monkeypatch.setattr(program, "configure", lambda _policy: None)  # the log of the tests stays as it is
    monkeypatch.setattr(program, "run", lambda *arguments: calls.append(arguments) or 0)
    ends[0].sendall(encode(start))
    status = program.main(os.dup(ends[1].fileno()))
    return calls, status


def test_it_serves_what_it_is_told(monkeypatch, ends, tmp_path):
    (tmp_path / "f.toml").write_text(f'output-directory = "{tmp_path}"\n')
    events, theirs = socket.socketpair()
    with events:
        start = Start((("--config", (str(tmp_path / "f.toml"),)),), (), "0", theirs.detach(), ("object.stored",))
        (call,), status = served(monkeypatch, ends, start)
        config, again, owner = call
        assert status == 0
        assert (config.network.port, config.store.output_directory) == (0, str(tmp_path))
        assert config.reader.kinds == {"object.stored"}
        assert not os.get_inheritable(config.reader.descriptor)
        assert again() == config  # as at SIGHUP
        owner.failed("no")
        assert json.loads(ends[0].recv(100)) == {"failed": "no"}
        os.close(config.reader.descriptor)


def test_without_a_file_there_is_nothing_to_read_again(monkeypatch, ends, tmp_path):
    (call,), _ = served(monkeypatch, ends, Start((("--output-directory", (str(tmp_path),)),), (), "0"))
    assert call[1] is None
    assert call[0].reader is None
    assert not call[0].tells_events


def test_what_is_wrong_by_now_is_told(monkeypatch, ends, tmp_path):
    calls, status = served(monkeypatch, ends, Start((("--output-directory", (str(tmp_path / "gone"),)),), (), "0"))
    assert (calls, status) == ([], 1)
    assert json.loads(ends[0].recv(1000)) == {"failed": "specified output directory does not exist"}
