"""``fastscp.dicom.rewrite``: every kind of source comes to the same file, which is the one fastscp-conv writes."""

from __future__ import annotations

import hashlib
import io
import os

import pytest

from fastscp.cli import conv
from fastscp.dicom import FileSink, GroupLengths, HashingSink, MemorySink, OutputOptions, filemeta, rewrite
from fastscp.errors import InstanceError, UsageError
from tests.support import objects

UID = "1.2.3.4.5"
DATA = objects.data_set(UID)
FILE = filemeta.encode(objects.CT.encode(), UID.encode(), objects.EXPLICIT_LE, b"CT1") + DATA
OPTIONS = OutputOptions(group_lengths=GroupLengths.CREATE)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    directory = tmp_path_factory.mktemp("conv")
    (directory / "in.dcm").write_bytes(FILE)
    assert conv.main(["+g", str(directory / "in.dcm"), str(directory / "out.dcm")]) == 0
    return (directory / "out.dcm").read_bytes()


def reused(octets, size):
    """Yield views of one buffer, as a network does."""
    buffer = bytearray(size)
    for at in range(0, len(octets), size):
        piece = octets[at:at + size]
        buffer[:len(piece)] = piece
        yield memoryview(buffer)[:len(piece)]
        yield b""


class OnlyRead:
    """A pipe."""

    def __init__(self, octets):
        self._file = io.BytesIO(octets)

    def read(self, size):
        return self._file.read(min(size, 1000))


@pytest.mark.parametrize("source", ["bytes", "bytearray", "memoryview", "file", "pipe", "path", "name", "views", "octets"])
def test_every_source(source, tmp_path, expected):
    path = tmp_path / "in.dcm"
    path.write_bytes(FILE)
    given = {"bytes": lambda: FILE, "bytearray": lambda: bytearray(FILE), "memoryview": lambda: memoryview(FILE),
             "file": lambda: path.open("rb"), "pipe": lambda: OnlyRead(FILE), "path": lambda: path, "name": lambda: str(path),
             "views": lambda: reused(FILE, 100), "octets": lambda: reused(FILE, 1)}[source]()
    sink = MemorySink()
    done = rewrite(given, sink, OPTIONS)
    assert sink.octets == expected
    assert (done.transfer_syntax_uid, done.sop_class_uid, done.sop_instance_uid) == (objects.EXPLICIT_LE, objects.CT, UID)
    assert done.attributes[0x00100010] == b"TEST^PATIENT"
    if source == "file":
        assert not given.closed  # it is the caller's
        given.close()


def test_sinks_come_to_the_same(expected):
    file, memory = io.BytesIO(), MemorySink()
    hashing = HashingSink(memory)
    rewrite(FILE, FileSink(file), OPTIONS)
    rewrite(FILE, hashing, OPTIONS)
    assert file.getvalue() == memory.octets == expected
    assert hashing.hexdigest() == hashlib.sha256(expected).hexdigest()


def test_a_data_set_alone(expected):
    sink = MemorySink()
    rewrite(DATA, sink, OPTIONS, transfer_syntax_uid=objects.EXPLICIT_LE, sop_class_uid=objects.CT, sop_instance_uid=UID, source_ae_title="CT1")
    assert sink.octets == expected
    bare = MemorySink()
    rewrite(DATA, bare, OutputOptions(file_format=False, transfer_syntax=objects.IMPLICIT_LE), transfer_syntax_uid=objects.EXPLICIT_LE)
    assert not bare.octets.startswith(bytes(128))
    with pytest.raises(UsageError, match="only with sop_class_uid and sop_instance_uid"):
        rewrite(DATA, MemorySink(), transfer_syntax_uid=objects.EXPLICIT_LE, sop_class_uid=objects.CT)


def test_another_transfer_syntax_is_in_the_file_meta_information():
    sink = MemorySink()
    done = rewrite(FILE, sink, OutputOptions(transfer_syntax=objects.IMPLICIT_LE))
    assert done.transfer_syntax_uid == objects.IMPLICIT_LE
    assert filemeta.read(io.BytesIO(sink.octets)).transfer_syntax_uid == objects.IMPLICIT_LE
    preserved = MemorySink()
    done = rewrite(FILE, preserved, OutputOptions(transfer_syntax=objects.IMPLICIT_LE, bit_preserving=True))
    assert done.transfer_syntax_uid == objects.EXPLICIT_LE
    assert preserved.octets.endswith(DATA)


@pytest.mark.parametrize("source", [b"", b"no DICOM file", bytes(132), FILE[:-1000]])
def test_what_is_no_dicom_file(source):
    with pytest.raises(InstanceError):
        rewrite(source, MemorySink())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        rewrite(tmp_path / "nothing", MemorySink())
    assert os.listdir(tmp_path) == []
