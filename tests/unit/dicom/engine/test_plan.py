from __future__ import annotations

import pytest

from fastscp.dicom.options import GroupLengths, OutputOptions
from tests.support import datasets as ds
from tests.support.engine import plan


def test_group_lengths_are_removed_before_they_are_created() -> None:
    created = plan(options=OutputOptions(group_lengths=GroupLengths.CREATE))
    assert created.create_groups
    assert created.drop_groups
    removed = plan(options=OutputOptions(group_lengths=GroupLengths.REMOVE))
    assert (removed.create_groups, removed.drop_groups) == (False, True)


@pytest.mark.parametrize(("syntax", "options", "expected"), [
    (ds.EXPLICIT, OutputOptions(), True), (ds.IMPLICIT, OutputOptions(), True), (ds.BIG, OutputOptions(), False),
    (ds.EXPLICIT, OutputOptions(convert_un=True), False),
    (ds.EXPLICIT, OutputOptions(transfer_syntax=ds.BIG), True),
])
def test_headers_are_recognised_in_little_endian(syntax: str, options: OutputOptions, expected: bool) -> None:
    assert plan(syntax, options).recognises is expected


def test_encodings_are_known_before_the_data_set_begins() -> None:
    made = plan(ds.IMPLICIT, OutputOptions(transfer_syntax=ds.BIG))
    assert made.key == (ds.IMPLICIT, ds.BIG)
    assert not made.syntax_in.explicit_vr
    assert not made.syntax_out.little_endian
