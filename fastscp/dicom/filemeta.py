"""PS3.10 file meta information as storescp writes it.

Layout: 128 zero octets, ``DICM``, then group 0002 in explicit VR little endian: group length, version
(0002,0001), media storage SOP class and instance UID, transfer syntax, implementation class UID and version
name, source application entity title.

Source: PS3.10 §7.1
"""

from __future__ import annotations

import functools
from typing import NamedTuple, Protocol

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from fastscp.dicom import tags
from fastscp.dicom.headers import LONG_VRS, PACKERS, read_explicit
from fastscp.errors import InstanceError

_pack_short, _, _, _pack_length = PACKERS[True]
_GROUP_LENGTH_HEADER = _pack_short(2, 0, b"UL", 4)
_PREAMBLE = bytes(128) + b"DICM"
_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"


def _short(element: int, vr: bytes, value: bytes, pad: bytes) -> bytes:
    """Encode one element of group 0002 with a 16-bit length, padded to even."""
    if len(value) & 1:
        value += pad
    return _pack_short(2, element, vr, len(value)) + value


_IMPLEMENTATION = (
    _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii"), b"\0")
    + _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" ")
)


def encode(sop_class_uid: bytes, sop_instance_uid: bytes, transfer_syntax_uid: str, source_ae_title: bytes) -> bytes:
    """Return preamble, prefix and group 0002.

    UIDs and the title come without padding. An empty title leaves (0002,0016) out.
    """
    before, behind = around_instance(sop_class_uid, transfer_syntax_uid, source_ae_title)
    instance = _short(0x0003, b"UI", sop_instance_uid, b"\0")
    return b"".join((
        _PREAMBLE, _GROUP_LENGTH_HEADER, _pack_length(len(before) + len(instance) + len(behind)),
        before, instance, behind,
    ))


@functools.lru_cache(maxsize=256)
def around_instance(sop_class_uid: bytes, transfer_syntax_uid: str, source_ae_title: bytes) -> tuple[bytes, bytes]:
    """Encode what the objects of an association have in common: group 0002 before and behind the instance's UID."""
    before = _VERSION + _short(0x0002, b"UI", sop_class_uid, b"\0")
    behind = _short(0x0010, b"UI", transfer_syntax_uid.encode("ascii"), b"\0") + _IMPLEMENTATION
    if source_ae_title:
        behind += _short(0x0016, b"AE", source_ae_title, b" ")
    return before, behind


class FileMeta(NamedTuple):
    """What is read from group 0002; values without padding."""

    sop_class_uid: bytes
    sop_instance_uid: bytes
    transfer_syntax_uid: str
    source_ae_title: bytes


class Readable(Protocol):
    """What is needed of a file."""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` octets, less at the end."""

    def tell(self) -> int:
        """Return where the next octet is."""

    def seek(self, offset: int, /) -> object:
        """Go back to where a value was read from last."""


_MOST_VALUE_OCTETS = 65536


def read(file: Readable) -> FileMeta:
    """Read preamble, prefix and group 0002 of a file; it is left at the data set's first octet.

    The group's length element is not trusted. Raises InstanceError for a file that has no meta information.
    """
    if file.read(132)[128:] != b"DICM":
        raise InstanceError("no DICOM file: the prefix DICM is missing")
    values: dict[int, bytes] = {}
    while True:
        start = file.tell()
        header = file.read(8)
        if len(header) < 8 or header[:2] != b"\x02\x00":
            file.seek(start)
            break
        if header[4:6] in LONG_VRS:
            header += file.read(4).ljust(4, b"\0")
        tag, _, length, _ = read_explicit(header)
        if length > _MOST_VALUE_OCTETS:
            raise InstanceError("value of file meta information is too long", tag=tag)
        values[tag] = file.read(length).strip(b" \0")
    return FileMeta(values.get(tags.MEDIA_STORAGE_SOP_CLASS_UID, b""), values.get(tags.MEDIA_STORAGE_SOP_INSTANCE_UID, b""),
                    values.get(tags.TRANSFER_SYNTAX_UID, b"").decode("latin-1"),
                    values.get(tags.SOURCE_APPLICATION_ENTITY_TITLE, b""))
