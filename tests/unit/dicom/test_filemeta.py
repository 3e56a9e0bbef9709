from __future__ import annotations

import io

import pytest

from fastscp import IMPLEMENTATION_CLASS_UID
from fastscp.dicom import filemeta
from fastscp.errors import InstanceError


def test_what_is_written_can_be_read() -> None:
    head = filemeta.encode(b"1.2.3", b"1.2.34", "1.2.840.10008.1.2", b"TITLE")
    assert len(head) % 2 == 0
    file = io.BytesIO(head + b"\x08\x00\x05\x00")
    assert filemeta.read(file) == (b"1.2.3", b"1.2.34", "1.2.840.10008.1.2", b"TITLE")
    assert file.tell() == len(head)


def test_layout() -> None:
    head = filemeta.encode(b"1.2.3", b"1.2.34", "1.2.840.10008.1.2", b"TITLE")
    assert head[:132] == bytes(128) + b"DICM"
    assert head[132:144] == b"\2\0\0\0UL\4\0" + (len(head) - 144).to_bytes(4, "little")
    assert head[144:158] == b"\2\0\1\0OB\0\0\2\0\0\0\0\1"
    assert IMPLEMENTATION_CLASS_UID.encode() in head
    assert head.endswith(b"\2\0\x16\0AE\6\0TITLE ")


def test_no_title_no_element() -> None:
    assert b"\2\0\x16\0" not in filemeta.encode(b"1.2.3", b"1.2.34", "1.2.840.10008.1.2", b"")


def test_a_file_without_prefix_is_refused() -> None:
    with pytest.raises(InstanceError, match="DICM is missing"):
        filemeta.read(io.BytesIO(bytes(200)))


def test_a_length_that_lies_allocates_nothing() -> None:
    file = io.BytesIO(bytes(128) + b"DICM" + b"\2\0\1\0OB\0\0\xf0\xff\xff\xff")
    with pytest.raises(InstanceError, match="too long"):
        filemeta.read(file)


def test_elements_with_long_lengths_are_passed_over() -> None:
    head = filemeta.encode(b"1.2.3", b"1.2.34", "1.2.840.10008.1.2", b"")
    address = b"\2\0\x26\0UR\0\0\x06\0\0\0http:/"
    file = io.BytesIO(head + address + b"\x08\0")
    assert filemeta.read(file).sop_instance_uid == b"1.2.34"
    assert file.tell() == len(head) + len(address)
