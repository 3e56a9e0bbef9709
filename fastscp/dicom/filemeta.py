"""PS3.10 file meta information as storescp writes it.

Layout: 128 zero octets, ``DICM``, then group 0002 in explicit VR little endian: group length, version
(0002,0001), media storage SOP class and instance UID, transfer syntax, implementation class UID and version
name, source application entity title.

Source: PS3.10 §7.1
"""

from __future__ import annotations

import struct

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = bytes(128) + b"DICM"
_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
_SHORT = struct.Struct("<HH2sH")


def _short(element: int, vr: bytes, value: bytes, pad: bytes) -> bytes:
    """Encode one element of group 0002 with a 16-bit length, padded to even."""
    if len(value) & 1:
        value += pad
    return _SHORT.pack(2, element, vr, len(value)) + value


_IMPLEMENTATION = (
    _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii"), b"\0")
    + _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" ")
)


def encode(sop_class_uid: bytes, sop_instance_uid: bytes, transfer_syntax_uid: str, source_ae_title: bytes) -> bytes:
    """Return preamble, prefix and group 0002.

    UIDs and the title come without padding. An empty title leaves (0002,0016) out.
    """
    body = b"".join((
        _VERSION,
        _short(0x0002, b"UI", sop_class_uid, b"\0"),
        _short(0x0003, b"UI", sop_instance_uid, b"\0"),
        _short(0x0010, b"UI", transfer_syntax_uid.encode("ascii"), b"\0"),
        _IMPLEMENTATION,
        _short(0x0016, b"AE", source_ae_title, b" ") if source_ae_title else b"",
    ))
    return _PREAMBLE + _SHORT.pack(2, 0, b"UL", 4) + struct.pack("<L", len(body)) + body
