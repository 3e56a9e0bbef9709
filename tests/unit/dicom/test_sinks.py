"""The ready sinks do what the engine wants of one."""

from __future__ import annotations

import hashlib
import io

import pytest

from fastscp.dicom import FileSink, HashingSink, MemorySink


class Contents:
    """A sink over a file object, as ``MemorySink`` shows what is in it."""

    def __init__(self):
        self.file = io.BytesIO()
        self.sink = FileSink(self.file)

    @property
    def octets(self):
        return self.file.getvalue()


@pytest.mark.parametrize("make", ["memory", "file", "hashing"])
def test_what_a_sink_is_asked_for(make):
    contents = Contents() if make == "file" else MemorySink()
    sink = {"memory": contents, "file": getattr(contents, "sink", None), "hashing": HashingSink(contents) if make == "hashing" else None}[make]
    sink.write([b"abc", bytearray(b"def"), memoryview(b"ghi")])
    sink.patch(1, b"XY")
    assert contents.octets == b"aXYdefghi"
    sink.write([b"j"])
    assert sink.read(0, 3) == b"aXY"
    assert sink.read(8, 100) == b"ij"
    sink.truncate(4)
    sink.write([b"!"])
    assert contents.octets == b"aXYd!"
    with sink.spool() as spool:
        spool.write(b"123")
        spool.seek(1)
        assert spool.read() == b"23"


def test_buffers_may_be_reused_when_write_returns():
    sink = MemorySink()
    buffer = bytearray(b"abc")
    sink.write([buffer])
    buffer[:] = b"xyz"
    buffer += b"longer"  # nobody holds on to it
    assert sink.octets == b"abc"


class Unreadable(MemorySink):
    def read(self, offset, size):
        raise AssertionError("read back without need")


def test_a_digest_on_the_way_needs_nothing_read_back():
    sink = HashingSink(Unreadable())
    sink.write([b"abc", b"def"])
    assert sink.hexdigest() == hashlib.sha256(b"abcdef").hexdigest()
    sink.write([b"ghi"])
    assert sink.hexdigest() == hashlib.sha256(b"abcdefghi").hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_digest_is_of_what_is_there_after_corrections(algorithm):
    behind = MemorySink()
    sink = HashingSink(behind, algorithm)
    sink.write([b"abcdef"])
    sink.patch(0, b"X")
    sink.write([bytes(3 << 20)])
    assert sink.hexdigest() == hashlib.new(algorithm, behind.octets).hexdigest()
    sink.truncate(5)
    assert sink.hexdigest() == hashlib.new(algorithm, b"Xbcde").hexdigest()
