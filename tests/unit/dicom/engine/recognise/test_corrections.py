from __future__ import annotations

import pytest

from fastscp.dicom.engine.recognise.corrections import TextEnds, UIDs


def _padded(octets: bytes, *texts: int) -> bool:
    return TextEnds(texts).padded(int.from_bytes(octets, "little"))


@pytest.mark.parametrize(("octets", "expected"), [
    (b"ab", False), (b"a ", False), (b" a", False), (b"  ", True), (b"\xa0\xa0", False), (b"!!", False), (b"\0\0", False),
])
def test_two_blanks_at_the_end_of_any_text_are_found(octets: bytes, expected: bool) -> None:
    assert _padded(octets, 0) is expected
    assert _padded(b"  ab" + octets + b"  ", 2, 4) is expected, "what is no end of a text does not count"


def _clean(octets: bytes, *uids: tuple[int, int]) -> bool:
    return UIDs(uids).clean(octets, int.from_bytes(octets, "little"))


@pytest.mark.parametrize(("octets", "expected"), [
    (b"1.2.3\0", True), (b"1.2.34", True), (b"1.2.3 ", False), (b"1.2 34", False), (b"1.2.\0\0", False), (b"1\t2.34", False),
])
def test_uids_that_need_no_correction_are_clean(octets: bytes, expected: bool) -> None:
    assert _clean(octets, (0, 6)) is expected
    assert _clean(b"1.2.3\0" + octets, (0, 6), (6, 12)) is expected
    assert _clean(octets + b"?? ", (0, 6)) is expected
