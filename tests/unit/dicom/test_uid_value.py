"""Which UID the octets of a value mean."""

from __future__ import annotations

import pytest

from fastscp.dicom.uid_value import meant


@pytest.mark.parametrize("value", [
    b"1.2.3", b"1.2.3\0", b" 1.2.3", b"1.2.3 ", b"1.2 .3", b"1.2.3\t", b"\n1.2.3\r\n", b"1.2.3\0 ", b"1.2.3 \0 ",
    b"1.2.3\0junk", b"\v1\f.2.3\0\0\0",
], ids=repr)
def test_white_space_goes_and_a_nul_ends_it(value: bytes) -> None:
    assert meant(value) == b"1.2.3"


@pytest.mark.parametrize("value", [b"", b"  ", b"\0", b"\t\0", b"\x001.2.3"], ids=repr)
def test_nothing_before_the_first_nul_is_no_uid(value: bytes) -> None:
    assert meant(value) == b""


@pytest.mark.parametrize("value", [b"1.2\\3", b"1.02", b"1.2.x", b"\xa01.2"], ids=repr)
def test_everything_else_is_part_of_it(value: bytes) -> None:
    assert meant(value) == value
