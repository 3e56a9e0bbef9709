"""What any output option writes of any data set, right or wrong, can be read again."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastscp.dicom.options import OutputOptions
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.memory import pieces, rewritten
from tests.support.options import output_options
from tests.support.strategies import datasets

_OPTIONS = ["", "+te", "+tb", "+ti", "+td", "-u", "+g", "-g", "-e", "+te -e +g", "+ti -g -e", "+ti -e", "+ti +g", "+tb +g",
            "+uc", "+uc +ti", "+uc -e +ti", "-u +ti", "+p 64 16", "+p 64 16 +ti -e", "+uc +tb"]
_VRS = ["LO", "UI", "US", "OB", "OW", "UN", "UT", "SQ", "PN", "XX", "a7", "FD"]
_TAGS = [0x00080018, 0x0008103E, 0x00081155, 0x00081140, 0x00120064, 0x00180000, 0x00181030, 0x00280106, 0x00290010,
         0x00291010, 0x0040A730, 0x20050010, 0x2005100E, 0x20051083, 0x52009230, 0x60003000, 0x7FE00010, 0xFFFCFFFC]
_PHILIPS = b"Philips MR Imaging DD 001 "  #: (2005,xx83) is a sequence, (2005,xx0E) is none
_relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@st.composite
def _values(draw: st.DrawFn) -> bytes:
    """Draw a value: nothing in particular, items in implicit or explicit VR, or what begins like an item."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=20))
    if kind == 1:
        return draw(st.sampled_from([b"", b"hello ", b"ABCDEFGH", b"x" * 70_000, _PHILIPS]))
    inside = ds.implicit(0x00080100, draw(st.sampled_from([b"AB", b"A ", b"ABC"])))
    if kind == 2:
        inside = ds.explicit(0x00080100, "SH", b"AB")
    item = ds.item(inside, delimited=draw(st.booleans())) * draw(st.integers(1, 2))
    cut = draw(st.integers(0, 8))
    return item + draw(st.binary(max_size=6)) if kind == 3 else item[:len(item) - cut]


@st.composite
def _odd(draw: st.DrawFn, depth: int = 2) -> bytes:
    """Draw elements in explicit VR whose VRs are not those of the dictionary."""
    parts = []
    for tag in sorted(draw(st.lists(st.sampled_from(_TAGS), max_size=6))):
        vr = draw(st.sampled_from(_VRS))
        value = _PHILIPS if tag == 0x20050010 and draw(st.booleans()) else draw(_values())
        if vr == "SQ" and depth:
            items = b"".join(ds.item(draw(_odd(depth - 1)), delimited=draw(st.booleans()))
                             for _ in range(draw(st.integers(0, 2))))
            parts.append(ds.sequence(tag, items, delimited=draw(st.booleans())))
        elif vr == "XX":
            parts.append(ds.tag(tag) + b"XX\0\0" + len(value).to_bytes(4, "little") + value)
        else:
            parts.append(ds.explicit(tag, vr, value[:60_000] if vr in {"LO", "UI", "US", "PN", "a7", "FD"} else value))
    return b"".join(parts)


@st.composite
def _any(draw: st.DrawFn) -> tuple[str, bytes]:
    syntax, data = draw(datasets()) if draw(st.booleans()) else (ds.EXPLICIT, ds.HEAD + draw(_odd()))
    if draw(st.integers(0, 2)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 4)):]
    return syntax, data


@given(_any(), st.sampled_from(_OPTIONS), st.sampled_from([13, 400, 100_000]))
@settings(_relaxed, max_examples=400)
def test_what_is_written_can_be_read_again(drawn: tuple[str, bytes], words: str, size: int) -> None:
    syntax, data = drawn
    options = output_options(words)
    try:
        written = rewritten(data, syntax, options, pieces(data, size))
    except InstanceError:
        return
    rewritten(written, options.transfer_syntax or syntax, OutputOptions())
