"""Descriptors shared by processes: whole messages, readers that stop reading, readers that are gone."""

import contextlib
import fcntl
import os
import select
import socket

import pytest

from fastscp.log import stream, turns
from fastscp.log.stream import Stream


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test may have closed it
            os.close(end)


def drain(descriptor):
    os.set_blocking(descriptor, False)
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except BlockingIOError:
            return b"".join(pieces)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def test_pipe_gets_the_message(pipe):
    Stream(pipe[1]).write(b"I: hello\n")
    assert drain(pipe[0]) == b"I: hello\n"


def test_descriptor_itself_stays_blocking(pipe):
    """Hooks inherit it and may not expect anything else."""
    Stream(pipe[1])
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK


def test_full_pipe_does_not_block_and_losses_are_told(pipe, monkeypatch):
    monkeypatch.setattr(stream, "_PATIENCE_MS", 1)
    out = Stream(pipe[1])
    written = 0
    poll = select.poll()
    poll.register(pipe[1], select.POLLOUT)
    while poll.poll(0):
        out.write(b"x" * 4095 + b"\n")
        written += 1
    for _ in range(5):
        out.write(b"lost\n")
    before = drain(pipe[0])
    out.write(b"after\n")
    assert before == (b"x" * 4095 + b"\n") * written
    assert drain(pipe[0]) == b"W: 5 log messages were lost\nafter\n"


def test_torn_message_is_ended_before_the_notice(pipe, monkeypatch):
    monkeypatch.setattr(stream, "_PATIENCE_MS", 1)
    out = Stream(pipe[1], b"%d lost\n")
    out.write(b"x" * 1_000_000 + b"\n")
    torn = drain(pipe[0])
    out.write(b"after\n")
    assert set(torn) == {ord("x")}
    assert drain(pipe[0]) == b"\n1 lost\nafter\n"


def test_reader_that_is_gone_is_no_error(pipe):
    out = Stream(pipe[1])
    os.close(pipe[0])
    out.write(b"one\n")
    out.write(b"two\n")
    assert out._descriptor == -1


def test_closed_descriptor_is_no_error(pipe):
    os.close(pipe[1])
    Stream(pipe[1]).write(b"one\n")
    assert drain(pipe[0]) == b""


def test_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Stream(ours.fileno()).write(b"hello\n")
        assert theirs.recv(100) == b"hello\n"


def test_full_socket_does_not_block(monkeypatch):
    """stderr is a socket under systemd."""
    monkeypatch.setattr(stream, "_PATIENCE_MS", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        out = Stream(ours.fileno())
        for _ in range(500):
            out.write(b"x" * 4095 + b"\n")
        assert ours.getblocking()
        lost = out._lost
        received = drain(theirs.fileno())
        out.write(b"after\n")
        assert 0 < lost < 500
        assert drain(theirs.fileno()).endswith(f"W: {lost} log messages were lost\nafter\n".encode())
        assert received.count(b"\n") >= 500 - lost - 1
        theirs.close()
        out.write(b"to nobody\n")
        out.close()


def test_file_shares_its_offset_with_other_writers(tmp_path):
    """A file given by ``2>file`` is not opened for appending; hooks write to it as well."""
    with (tmp_path / "log").open("wb", buffering=0) as file:
        out = Stream(file.fileno())
        out.write(b"ours\n")
        file.write(b"theirs\n")
        out.write(b"ours\n")
    assert (tmp_path / "log").read_bytes() == b"ours\ntheirs\nours\n"


def test_close_leaves_the_descriptor_open(pipe):
    out = Stream(pipe[1])
    out.close()
    out.write(b"nothing\n")
    os.write(pipe[1], b"mine\n")
    assert drain(pipe[0]) == b"mine\n"


def test_long_messages_of_several_processes_do_not_mix(pipe, monkeypatch):
    monkeypatch.setattr(stream, "_PATIENCE_MS", 60_000)  # a busy machine is no stopped reader
    monkeypatch.setattr(turns, "_PATIENCE_S", 60.0)
    out = Stream(pipe[1])
    messages, size = 20, 20_000
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(messages):
                    out.write(str(number).encode() * size + b"\n")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(pipe[1])
    out.close()
    with open(pipe[0], "rb", closefd=False) as reader:
        lines = reader.read().splitlines()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert sorted(lines) == sorted(str(number).encode() * size for number in range(3) for _ in range(messages))


def test_lock_that_a_stopped_process_holds_is_not_waited_for(pipe, monkeypatch):
    """It may hold it for ever; the first message waits for a moment, the others not at all."""
    monkeypatch.setattr(turns, "_PATIENCE_S", 0.05)
    out = Stream(pipe[1])
    ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            fcntl.lockf(out._lock, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(go_on[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    waits = []
    monkeypatch.setattr(turns.time, "sleep", waits.append)
    for _ in range(100):
        out.write(b"I: hello\n")
    assert drain(pipe[0]) == b"I: hello\n" * 100
    waited = len(waits)
    out.write(b"I: once more\n")
    assert len(waits) == waited
    os.write(go_on[1], b"x")
    os.waitpid(pid, 0)
    out.write(b"I: free\n")
    assert not out._turns._in_vain
    for end in (*ready, *go_on):
        os.close(end)


class SlowPoll:
    """A reader that makes room for one more piece whenever it was waited for ``needs_ms``."""

    def __init__(self, needs_ms):
        self.needs_ms = needs_ms
        self.now = 0.0
        self.waited = 0.0

    def __call__(self):
        return self

    def register(self, *_):
        pass

    def poll(self, limit_ms):
        took = min(limit_ms, self.needs_ms)
        self.waited += took
        self.now += took / 1000
        return [(1, select.POLLOUT)] if took == self.needs_ms else []


def test_long_message_waits_no_longer_than_a_short_one(pipe, monkeypatch):
    slow = SlowPoll(needs_ms=40)
    out = Stream(pipe[1])
    with monkeypatch.context() as patch:
        patch.setattr(select, "poll", slow)
        patch.setattr(stream.time, "monotonic", lambda: slow.now)
        out.write(b"x" * 10 * select.PIPE_BUF)
        assert slow.waited == pytest.approx(stream._PATIENCE_MS)
        out.write(b"dropped at once\n")
        assert slow.waited == pytest.approx(stream._PATIENCE_MS)
    out.write(b"after\n")
    assert drain(pipe[0]) == b"x" * 2 * select.PIPE_BUF + b"\n" + stream.NOTICE % 2 + b"after\n"


def test_reader_that_is_slow_and_reads_loses_nothing(pipe, monkeypatch):
    slow = SlowPoll(needs_ms=40)
    out = Stream(pipe[1])
    with monkeypatch.context() as patch:
        patch.setattr(select, "poll", slow)
        patch.setattr(stream.time, "monotonic", lambda: slow.now)
        for number in range(20):
            out.write(b"%d\n" % number)
    assert drain(pipe[0]) == b"".join(b"%d\n" % number for number in range(20))
