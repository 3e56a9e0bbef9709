from __future__ import annotations

import pytest

from fastscp.errors import InstanceError, ObjectError, StorageError, tag_text


@pytest.mark.parametrize(("error", "comment", "text"), [
    (InstanceError("bad"), "bad", "bad"),
    (InstanceError("bad", tag=0x7FE00010), "(7FE0,0010) bad", "(7FE0,0010) bad"),
    (InstanceError("bad", tag=0x00100010, offset=236), "(0010,0010) bad", "(0010,0010) bad, offset 236"),
    (InstanceError("bad", offset=0), "bad", "bad, offset 0"),
    (StorageError("no room", path="/x"), "no room", "no room"),
])
def test_comment_begins_with_the_tag_and_has_no_offset(error: ObjectError, comment: str, text: str) -> None:
    assert error.comment == comment
    assert str(error) == text


def test_statuses_say_whose_fault_it_is() -> None:
    assert (InstanceError("bad").status, StorageError("bad").status) == (0xC000, 0xA700)


def test_tags_are_written_in_capitals() -> None:
    assert tag_text(0xFFFEE00D) == "FFFE,E00D"
