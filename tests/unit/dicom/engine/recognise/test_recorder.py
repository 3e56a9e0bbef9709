from __future__ import annotations

import pytest

from fastscp.dicom.engine.recognise.recorder import Recorder, learn
from fastscp.dicom.options import GroupLengths, OutputOptions
from tests.support import datasets as ds
from tests.support.engine import plan
from tests.support.memory import rewritten

_FILL = ds.explicit(0x00081030, "LO", b"x" * 300)
_NESTED = ds.sequence(0x00400275, ds.item(ds.explicit(0x00080050, "SH", b"ab"), delimited=True), delimited=True)


def test_cuts_and_patches_are_remembered_in_order() -> None:
    recorder = Recorder()
    recorder.cut(0, 8, b"new")
    recorder.cut(8, 12, 2)
    recorder.patch(4, b"!")
    assert recorder.cuts == [(0, 8, b"new"), (8, 12, 2)]
    assert recorder.patches == [(4, b"!")]


@pytest.mark.parametrize("options", [
    OutputOptions(), OutputOptions(explicit_lengths=False), OutputOptions(transfer_syntax=ds.BIG),
    OutputOptions(transfer_syntax=ds.IMPLICIT), OutputOptions(group_lengths=GroupLengths.REMOVE),
])
def test_what_was_learned_makes_the_same_output_of_other_values(options: OutputOptions) -> None:
    known = ds.HEAD + _FILL + ds.explicit(0x00280010, "US", b"\1\2") + _NESTED
    other = known.replace(b"xx", b"yy").replace(b"\1\2", b"\3\4").replace(b"ab", b"cd")
    shape = learn(plan(options=options), known)
    assert shape.matches(other)
    assert shape.render(other) == rewritten(other, ds.EXPLICIT, options)


def test_the_header_of_a_large_verbatim_value_is_learned_with_it() -> None:
    known = ds.HEAD + _FILL + ds.explicit(0x7FE00010, "OW", bytes(4), 100_000)
    shape = learn(plan(), known)
    assert shape.value_octets == 100_000
    assert shape.size == len(known) - 4
    assert (shape.value_tag, shape.value_offset) == (0x7FE00010, len(ds.HEAD + _FILL))


@pytest.mark.parametrize("header", [
    ds.HEAD,  # too short to be worth it
    ds.HEAD + _FILL + ds.explicit(0x00080018, "UI", b"1.2\0"),  # out of order
    ds.HEAD + ds.explicit(0x7FE00010, "OB", bytes(300)),  # refused where Pixel Data comes in fragments
])
def test_nothing_is_learned_from_what_is_not_settled(header: bytes) -> None:
    assert learn(plan(ds.JPEG), header) is None
