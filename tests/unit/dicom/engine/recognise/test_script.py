"""Outputs made by a script are what its parts say, one after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastscp.dicom.engine import values
from fastscp.dicom.engine.recognise.script import Renderer, script_of

_AT = st.integers(0, 60)
_PARTS = st.one_of(
    st.binary(max_size=5),
    st.tuples(_AT, st.integers(0, 30)).map(lambda part: (part[0], part[0] + part[1])),
    st.tuples(_AT, st.integers(1, 4), st.sampled_from([2, 4, 8])).map(lambda part: (part[0], part[0] + part[1] * part[2], part[2])),
)


def _naive(script, buf):
    out = b""
    for part in script:
        if isinstance(part, bytes):
            out += part
        elif len(part) == 2:
            out += buf[part[0]:part[1]]
        else:
            out += values.swapped(buf[part[0]:part[1]], part[2])
    return out


@given(st.lists(_PARTS, max_size=12).map(tuple))
def test_any_script(script):
    buf = bytes(range(100))
    renderer = Renderer(script)
    assert renderer.render(buf) == renderer.render(buf) == _naive(script, buf)


@pytest.mark.parametrize(("cuts", "expected"), [
    ([], b"0123456789"),
    ([(2, 4, b"XYZ"), (6, 6, b"-")], b"01XYZ45-6789"),
    ([(0, 10, b"")], b""),
    ([(2, 6, 2)], b"0132546789"),
    ([(0, 2, b"h"), (2, 6, 4), (6, 10, 4)], b"h54329876"),
])
def test_script_of_what_an_output_was_told(cuts, expected):
    assert Renderer(script_of(10, cuts, [])).render(b"0123456789") == expected


def test_patches_overwrite_constants():
    script = script_of(10, [(2, 6, b"LLLL")], [(2, b"1234"), (4, b"!!")])
    assert Renderer(script).render(b"0123456789") == b"0112!!6789"


def test_script_applies_patches_across_slices_and_constants() -> None:
    buf = b"abcdefghij"
    script = script_of(10, [(2, 4, b"XYZ"), (6, 6, b"-")], [(1, b"123"), (9, b"!")])
    out = b"".join(part if isinstance(part, bytes) else buf[part[0] : part[1]] for part in script)
    assert out == b"a123Zef-g!ij"
