from __future__ import annotations

import zlib

import pytest

from fastscp.blast.numbering import INSTANCE, SERIES, STUDY, uid
from fastscp.blast.template import Template, template
from fastscp.blast.wire import Image
from fastscp.dicom import uids as known
from fastscp.dimse.command import C_STORE_RQ, decode_command
from tests.support import datasets as ds
from tests.unit.blast.test_template import CLASS, explicit

UIDS = {kind: uid("1" + "5" * 38, kind, 7, 36) for kind in (INSTANCE, SERIES, STUDY)}


def parsed(octets: bytes) -> tuple[bytes, bytes, list[int]]:
    """Return command, data set, and the lengths of the PDUs; the flags and contexts are as they should be."""
    command, data, lengths = b"", b"", []
    last = 0
    while octets:
        assert octets[0] == 4
        length = int.from_bytes(octets[2:6], "big")
        assert int.from_bytes(octets[6:10], "big") == length - 4
        context, flags = octets[10], octets[11]
        assert context == 5
        assert last != 2
        if flags & 1:
            assert flags == 3
            command += octets[12:6 + length]
        else:
            last = flags
            data += octets[12:6 + length]
        lengths.append(length)
        octets = octets[6 + length:]
    assert last == 2
    return command, data, lengths


def sent(one: Template, max_pdu: int) -> tuple[bytes, bytes, list[int]]:
    return parsed(b"".join(Image(one, 5, max_pdu).message(UIDS, 513)))


@pytest.mark.parametrize("max_pdu", [20, 22, 40, 64, 100, 128, 4096, 131072])
@pytest.mark.parametrize("pixels", [0, 2, 5000])
def test_uids_are_in_their_places_wherever_pdus_end(max_pdu: int, pixels: int) -> None:
    one = template(CLASS, ds.EXPLICIT, explicit() + ds.explicit(0x7FE00010, "OW", bytes(pixels)))
    command, data, lengths = sent(one, max_pdu)
    assert data == bytes(one.patched(UIDS))
    decoded = decode_command(command)
    assert (decoded.field, decoded.message_id, decoded.affected_sop_class_uid, decoded.affected_sop_instance_uid) == (
        C_STORE_RQ, 513, CLASS, UIDS[INSTANCE].decode())
    assert decoded.has_data_set
    assert max(lengths[1:]) <= max_pdu
    assert set(lengths[1:-1]) <= {max_pdu}


def test_large_data_sets_are_not_copied() -> None:
    data = explicit() + ds.explicit(0x7FE00010, "OW", bytes(3 << 20))
    one = template(CLASS, ds.EXPLICIT, data)
    image = Image(one, 5, 16384)
    first, second = image.message(UIDS, 1), image.message(UIDS, 2)
    assert all(mine is other for mine, other in zip(first[1:], second[1:], strict=True))
    assert sum(len(view) for view in first if isinstance(view, bytes | bytearray)) < 20_000
    assert parsed(b"".join(first))[1] == bytes(one.patched(UIDS))


def test_messages_of_one_image_are_independent() -> None:
    image = Image(template(CLASS, ds.EXPLICIT, explicit()), 5, 16384)
    first = image.message(UIDS, 1)
    before = b"".join(first)
    image.message(dict.fromkeys(UIDS, b"9" * 36), 2)
    assert b"".join(first) == before


@pytest.mark.parametrize("pixels", [0, 1000, 100_001])
@pytest.mark.parametrize("max_pdu", [64, 16384])
def test_deflated_in_two_parts_is_one_stream(pixels: int, max_pdu: int) -> None:
    inside = explicit() + ds.explicit(0x7FE00010, "OB", bytes(range(256)) * (pixels // 256 + 1))
    compressor = zlib.compressobj(wbits=-15)
    one = template(CLASS, ds.DEFLATED, compressor.compress(inside) + compressor.flush())
    _, data, lengths = sent(one, max_pdu)
    assert zlib.decompressobj(-15).decompress(data) == bytes(one.patched(UIDS))
    assert all(length % 2 == 0 for length in lengths)  # fragments are of even length (PS3.8 §9.3.5.1)


@pytest.mark.parametrize("text", ["a", "ab", "abc" * 7, "Otto^Emil"])
def test_deflated_fragments_are_even_whatever_is_in_them(text: str) -> None:
    inside = explicit(before=ds.explicit(0x00100010, "PN", text.encode().ljust(len(text) + len(text) % 2)))
    compressor = zlib.compressobj(wbits=-15)
    one = template(CLASS, ds.DEFLATED, compressor.compress(inside) + compressor.flush())
    _, data, lengths = sent(one, 16384)
    assert zlib.decompressobj(-15).decompress(data) == bytes(one.patched(UIDS))
    assert all(length % 2 == 0 for length in lengths)


def test_odd_uids_are_padded_in_the_command() -> None:
    odd = {kind: value[:35] for kind, value in UIDS.items()}
    one = template(CLASS, ds.EXPLICIT, explicit(*(["1" * 35] * 3)))
    command, data, _ = parsed(b"".join(Image(one, 5, 16384).message(odd, 1)))
    assert decode_command(command).affected_sop_instance_uid == odd[INSTANCE].decode()
    assert data == bytes(one.patched(odd))
    assert known.transfer_syntax(one.transfer_syntax).explicit_vr
