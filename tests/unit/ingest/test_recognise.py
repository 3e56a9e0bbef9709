from __future__ import annotations

import zlib

import pytest

from fastscp.dicom import filemeta
from fastscp.ingest.recognise import Incomplete, Recognised, recognise
from tests.support import datasets as ds
from tests.support.rawscu import CT_IMAGE

BIG_HEAD = (ds.explicit(0x00080016, "UI", ds.uid(CT_IMAGE), order=">") + ds.explicit(0x00080018, "UI", ds.uid("1.2.3.4.5"), order=">"))


def meta(syntax: str = ds.EXPLICIT, sop_class: str = CT_IMAGE, instance: str = "9.9.9") -> bytes:
    return filemeta.encode(sop_class.encode(), instance.encode(), syntax, b"SENDER")


def found(octets: bytes) -> Recognised | None:
    return recognise(octets, complete=True)


def test_the_data_set_decides_what_a_sender_would_say() -> None:
    assert found(meta() + ds.HEAD) == Recognised(CT_IMAGE, "1.2.3.4.5", ds.EXPLICIT, len(meta()))


@pytest.mark.parametrize(("syntax", "data"), [
    (ds.IMPLICIT, ds.IMPLICIT_HEAD), (ds.BIG, BIG_HEAD), (ds.JPEG, ds.HEAD), ("1.2.3.4.777", ds.HEAD),
    (ds.DEFLATED, zlib.compressobj(wbits=-15).compress(ds.HEAD) or b"")])
def test_every_transfer_syntax(syntax: str, data: bytes) -> None:
    if syntax == ds.DEFLATED:
        coder = zlib.compressobj(wbits=-15)
        data = coder.compress(ds.HEAD + bytes(5000)) + coder.flush()
    known = found(meta(syntax) + data)
    assert known is not None
    assert (known.sop_class, known.sop_instance, known.transfer_syntax) == (CT_IMAGE, "1.2.3.4.5", syntax)


def test_meta_information_stands_in_for_the_data_set() -> None:
    known = found(meta() + ds.explicit(0x00080060, "CS", b"CT"))
    assert known is not None
    assert (known.sop_class, known.sop_instance) == (CT_IMAGE, "9.9.9")


@pytest.mark.parametrize("cut", [128, 132])
def test_preamble_may_be_missing(cut: int) -> None:
    known = found((meta() + ds.HEAD)[cut:])
    assert known is not None
    assert known.offset == len(meta()) - cut
    assert known.sop_instance == "1.2.3.4.5"


@pytest.mark.parametrize(("data", "syntax"), [(ds.HEAD, ds.EXPLICIT), (ds.IMPLICIT_HEAD, ds.IMPLICIT), (BIG_HEAD, ds.BIG)])
def test_without_meta_information_the_first_element_decides(data: bytes, syntax: str) -> None:
    assert found(data) == Recognised(CT_IMAGE, "1.2.3.4.5", syntax, 0)


def test_meta_information_that_names_no_transfer_syntax() -> None:
    head = bytes(128) + b"DICM" + ds.explicit(0x00020002, "UI", ds.uid(CT_IMAGE))
    known = found(head + BIG_HEAD)
    assert known is not None
    assert known.transfer_syntax == ds.BIG


@pytest.mark.parametrize("octets", [
    b"", b"x", b"hello world, nothing of interest here", bytes(4000), b"\x08\x00" + bytes(200), b"PK\x03\x04" + bytes(600),
    ds.HEAD[:30], ds.explicit(0x00080060, "CS", b"CT"), ds.explicit(0x00080016, "UI", b"1.2") + ds.explicit(0x00080018, "UI", b"1" * 70),
    ds.explicit(0x00100010, "PN", b"A^B ") + ds.HEAD], ids=repr)
def test_what_is_no_dicom(octets: bytes) -> None:
    assert found(octets) is None


def test_what_is_dicom_and_has_no_uid_is_no_foreign_file() -> None:
    known = found(bytes(128) + b"DICM" + ds.explicit(0x00080060, "CS", b"CT"))
    assert known is not None
    assert (known.sop_class, known.sop_instance) == ("", "")


def test_long_meta_information_wants_more_octets() -> None:
    long = bytes(128) + b"DICM" + ds.explicit(0x00020102, "OB", bytes(50_000))
    with pytest.raises(Incomplete):
        recognise((long + ds.HEAD)[:32768], complete=False)
    assert found(long + ds.HEAD) is not None


def test_damage_of_every_kind_is_no_error() -> None:
    whole = meta() + ds.HEAD + ds.sequence(0x00081115, ds.item(b""), delimited=True)
    for end in range(len(whole)):
        recognise(whole[:end], complete=True)
        recognise(whole[:end] + b"\xff" * 20, complete=True)
