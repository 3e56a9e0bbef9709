"""Generated data sets for tests: small, valid, with fresh UIDs."""

from __future__ import annotations

import itertools
import struct
import uuid

CT = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_SC = "1.2.840.10008.5.1.4.1.1.7.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
CT_CONTEXT = [(1, CT, [EXPLICIT_LE])]

_numbers = itertools.count(1)


def fresh_uid() -> str:
    """Return a UID nobody has."""
    return f"2.25.{uuid.uuid4().int}"


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Encode one element in explicit VR little endian, padded to even length (PS3.5 §7.1.2)."""
    if len(value) & 1:
        value += b"\0" if vr in {b"UI", b"OB"} else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"OB", b"OW", b"UN", b"SQ", b"UT"}:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def data_set(sop_instance: str, *, sop_class: str = CT, study: str = "1.2.3.4", series: str = "1.2.3.5",
             patient: str = "TEST^PATIENT", pixels: int = 2048) -> bytes:
    """Encode a small image."""
    return b"".join((
        element(0x00080016, b"UI", sop_class.encode()),
        element(0x00080018, b"UI", sop_instance.encode()),
        element(0x00080060, b"CS", b"CT"),
        element(0x00100010, b"PN", patient.encode("latin-1")),
        element(0x0020000D, b"UI", study.encode()),
        element(0x0020000E, b"UI", series.encode()),
        element(0x00280010, b"US", struct.pack("<H", 32)),
        element(0x7FE00010, b"OW", bytes(pixels)),
    ))
