from __future__ import annotations

import zlib

import pytest

from fastscp.blast.elements import Encoding, elements
from fastscp.blast.numbering import INSTANCE, SERIES, SHORTEST, STUDY, USUAL
from fastscp.blast.synthetic import LOADS, synthetic
from fastscp.blast.template import Template, lengthened, template
from fastscp.dicom import uids
from fastscp.errors import InstanceError
from tests.support import datasets as ds

CLASS = "1.2.840.10008.5.1.4.1.1.2"
LONG = "1.2.3." + "4" * 30
STUDY_TAG, SERIES_TAG = 0x0020000D, 0x0020000E


def explicit(instance: str = LONG, study: str = LONG, series: str = LONG, *, order: str = "<", before: bytes = b"") -> bytes:
    return b"".join((
        ds.explicit(0x00080016, "UI", ds.uid(CLASS), order=order), ds.explicit(0x00080018, "UI", ds.uid(instance), order=order), before,
        ds.explicit(STUDY_TAG, "UI", ds.uid(study), order=order), ds.explicit(SERIES_TAG, "UI", ds.uid(series), order=order),
        ds.explicit(0x00280010, "US", b"\1\0", order=order)))


def implicit() -> bytes:
    return b"".join((ds.implicit(0x00080016, ds.uid(CLASS)), ds.implicit(0x00080018, ds.uid(LONG)),
                     ds.implicit(STUDY_TAG, ds.uid(LONG)), ds.implicit(SERIES_TAG, ds.uid(LONG))))


def values(one: Template) -> dict[int, bytes]:
    encoding = Encoding.of(uids.transfer_syntax(one.transfer_syntax))
    return {element.tag: bytes(one.data[element.start:element.end]) for element in elements(one.data, encoding)}


@pytest.mark.parametrize(("syntax", "data"), [
    (ds.EXPLICIT, explicit()), (ds.BIG, explicit(order=">")), (ds.IMPLICIT, implicit()),
    (ds.EXPLICIT, explicit(before=ds.sequence(0x00081140, ds.item(ds.explicit(0x00080018, "UI", ds.uid("1.9"))), delimited=True))),
    (ds.EXPLICIT, explicit(before=ds.sequence(0x00081140, ds.item(ds.explicit(STUDY_TAG, "UI", ds.uid("1.9")), delimited=True)))),
    (ds.EXPLICIT, explicit(before=ds.explicit(0x00091010, "UN", ds.item(ds.implicit(0x00091011, b"ab"), delimited=True), ds.UNDEFINED)
                           + ds.implicit(0xFFFEE0DD, b""))),
    (ds.JPEG, explicit() + ds.explicit(0x7FE00010, "OB", ds.implicit(0xFFFEE000, b""), ds.UNDEFINED) + ds.implicit(0xFFFEE0DD, b""))])
def test_uids_are_found_at_the_top_level_and_patched(syntax: str, data: bytes) -> None:
    one = template(CLASS, syntax, data)
    assert [spot.kind for spot in one.spots] == [INSTANCE, STUDY, SERIES]
    patched = one.patched({INSTANCE: b"7" * 36, STUDY: b"8" * 36, SERIES: b"9" * 36})
    found = values(template(CLASS, syntax, bytes(patched)))
    assert (found[0x00080018], found[STUDY_TAG], found[SERIES_TAG]) == (b"7" * 36, b"8" * 36, b"9" * 36)
    assert len(patched) == len(data)
    assert sum(before != after for before, after in zip(data, patched, strict=True)) <= 3 * 36


def test_what_was_deflated_is_kept_inflated() -> None:
    compressor = zlib.compressobj(wbits=-15)
    one = template(CLASS, ds.DEFLATED, compressor.compress(explicit()) + compressor.flush())
    assert one.deflated
    assert bytes(one.data) == explicit()
    with pytest.raises(InstanceError, match="inflated"):
        template(CLASS, ds.DEFLATED, b"\xff" * 40)


@pytest.mark.parametrize("data", [
    b"", ds.explicit(0x00080016, "UI", ds.uid(CLASS)), explicit()[:-3], explicit()[:20],
    ds.HEAD + ds.explicit(0x00081140, "SQ", b"", ds.UNDEFINED)])
def test_what_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(InstanceError):
        template(CLASS, ds.EXPLICIT, data)


def test_sequences_nested_without_end_are_refused() -> None:
    head = ds.explicit(0x00081140, "SQ", b"", ds.UNDEFINED) + ds.implicit(0xFFFEE000, b"", ds.UNDEFINED)
    with pytest.raises(InstanceError, match="too deeply"):
        template(CLASS, ds.EXPLICIT, ds.HEAD + head * 200)


@pytest.mark.parametrize("syntax", [ds.EXPLICIT, ds.BIG])
def test_uids_too_short_for_a_number_become_longer(syntax: str) -> None:
    order = ">" if syntax == ds.BIG else "<"
    group = ds.explicit(0x00080000, "UL", (28 + 8 + 28).to_bytes(4, "big" if order == ">" else "little"), order=order)
    (one,) = lengthened([template(CLASS, syntax, group + explicit("1.2", "1.2.3", LONG, order=order))])
    found = values(one)
    assert {spot.kind: spot.octets for spot in one.spots} == {INSTANCE: USUAL, STUDY: USUAL, SERIES: 36}
    assert [len(found[tag]) for tag in (0x00080018, STUDY_TAG, SERIES_TAG)] == [USUAL, USUAL, 36]
    assert int.from_bytes(found[0x00080000], "big" if order == ">" else "little") == 64 + USUAL - 4
    assert found[0x00280010] == b"\1\0"
    assert all(bytes(one.data[spot.offset:spot.offset + spot.octets]) == b"1" * spot.octets for spot in one.spots if spot.kind != SERIES)


def test_a_uid_of_unknown_vr_becomes_longer() -> None:
    data = explicit().replace(ds.explicit(STUDY_TAG, "UI", ds.uid(LONG)), ds.explicit(STUDY_TAG, "UN", ds.uid("1.2")))
    (one,) = lengthened([template(CLASS, ds.EXPLICIT, data)])
    assert values(one)[STUDY_TAG] == b"1" * USUAL
    assert values(one)[0x00280010] == b"\1\0"


def test_uids_long_enough_stay_where_they_are() -> None:
    one = template(CLASS, ds.EXPLICIT, explicit("1" * SHORTEST))
    assert lengthened([one]) == (one,)


def test_studies_have_one_length_in_all_files() -> None:
    three = [template(CLASS, ds.EXPLICIT, explicit(study=study)) for study in (LONG, LONG, LONG + "5")]
    assert [one.octets_of(STUDY) for one in lengthened(three)] == [36, 36, 36]
    implicit_one = template(CLASS, ds.IMPLICIT, implicit().replace(ds.implicit(STUDY_TAG, ds.uid(LONG)), ds.implicit(STUDY_TAG, b"1.2\0")))
    both = lengthened([*three[:2], implicit_one])
    assert [one.octets_of(STUDY) for one in both] == [36, 36, 36]
    assert values(both[2])[STUDY_TAG] == b"1" * 36


@pytest.mark.parametrize("name", LOADS)
def test_synthetic_loads_are_whole(name: str) -> None:
    one = synthetic(name)
    tags = [element.tag for element in elements(one.data, Encoding(explicit=True, little=True))]
    assert tags == sorted(set(tags))
    assert {spot.kind: spot.octets for spot in one.spots} == {INSTANCE: USUAL, STUDY: USUAL, SERIES: USUAL}
    sizes = {"ct": 500_000, "mr": 32_000, "sr": 5_000, "enhanced": 3_000_000, "multiframe": 19_000_000}
    assert sizes[name] < len(one.data) < 1.6 * sizes[name] + 5_000


@pytest.mark.parametrize("name", LOADS)
def test_pydicom_reads_synthetic_loads(name: str) -> None:
    from io import BytesIO

    from pydicom import dcmread
    from pydicom.filewriter import dcmwrite

    one = synthetic(name)
    ds_read = dcmread(BytesIO(bytes(one.data)), force=True)
    assert ds_read.SOPClassUID == one.sop_class
    if "PixelData" in ds_read:
        expected = ds_read.Rows * ds_read.Columns * ds_read.SamplesPerPixel * ds_read.BitsAllocated // 8 * int(ds_read.get("NumberOfFrames", 1))
        assert len(ds_read.PixelData) == expected + expected % 2
    written = BytesIO()
    dcmwrite(written, ds_read, implicit_vr=False, little_endian=True, overwrite=True)
    assert all(element.VR != "UN" for element in ds_read.iterall())
