"""Finds out from the first octets of a file whether it is DICOM, and what a sender would put into its C-STORE-RQ.

With file meta information (PS3.10 §7.1; the preamble may be missing) the transfer syntax is the one that it names.
Without, or when it names none, the first element decides: its group says the byte order, two letters behind it that
are a VR say that VRs are explicit. Class and instance are those of the data set, which stand among its first elements,
else those of the meta information.

A file without meta information counts as DICOM only if it begins in group 0008 and has both UIDs.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal, NamedTuple

from fastscp.dicom import tags, uid_value, uids
from fastscp.dicom.headers import LONG_VRS, UNDEFINED
from fastscp.dicom.vr import KINDS

MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"

_PREAMBLE: Final = 128
_VRS: Final = frozenset(name.encode("ascii") for name in KINDS)
_GROUP: Final = 0x0008
_IDENTIFYING: Final = frozenset({tags.SOP_CLASS_UID & 0xFFFF, tags.SOP_INSTANCE_UID & 0xFFFF})
_LAST_ELEMENT: Final = max(_IDENTIFYING)
_INFLATED_OCTETS: Final = 4096
_LONGEST: Final = 64  #: octets of a UID, in a file that has nothing else to show that it is DICOM


class Recognised(NamedTuple):
    """What is known of an object before its data set is read."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    offset: int  #: of the data set's first octet


class Incomplete(Exception):  # noqa: N818 - not an error: more octets are wanted
    """The meta information goes on behind the octets that are there."""


def recognise(head: bytes, *, complete: bool) -> Recognised | None:
    """Return what the file is that begins with ``head``; None when it is not DICOM.

    ``complete`` says that there is nothing behind it. Raises Incomplete.
    """
    begins = _meta_begins(head)
    if begins is None:
        return _bare(head)
    meta, offset = _read_meta(head, begins)
    if offset + 8 > len(head) and not complete:
        raise Incomplete
    syntax = meta.get(tags.TRANSFER_SYNTAX_UID, b"").strip(b" \0").decode("latin-1")
    syntax = syntax or _guess(head, offset) or uids.IMPLICIT_VR_LITTLE_ENDIAN
    found = _identity(head, offset, syntax)
    return Recognised(
        found.get(tags.SOP_CLASS_UID) or _meant(meta.get(tags.MEDIA_STORAGE_SOP_CLASS_UID, b"")),
        found.get(tags.SOP_INSTANCE_UID) or _meant(meta.get(tags.MEDIA_STORAGE_SOP_INSTANCE_UID, b"")), syntax, offset)


def _meta_begins(head: bytes) -> int | None:
    """Return where group 0002 begins; None where there is none."""
    if head[_PREAMBLE:_PREAMBLE + 4] == b"DICM":
        return _PREAMBLE + 4
    if head[:4] == b"DICM":
        return 4
    if head[:2] == b"\x02\x00" and len(head) >= 8 and (head[4:6] in _VRS or head[6:8] == b"\0\0"):
        return 0
    return None


def _read_meta(head: bytes, at: int) -> tuple[dict[int, bytes], int]:
    """Return the values of group 0002, whose length element is not trusted, and where it ends.

    An element without a VR where there should be one reads as implicit.
    """
    values: dict[int, bytes] = {}
    end = len(head)
    while at + 8 <= end and head[at:at + 2] == b"\x02\x00":
        vr = head[at + 4:at + 6]
        if vr in LONG_VRS:
            start, length = at + 12, int.from_bytes(head[at + 8:at + 12], "little") if at + 12 <= end else UNDEFINED
        elif vr in _VRS:
            start, length = at + 8, head[at + 6] | head[at + 7] << 8
        else:
            start, length = at + 8, int.from_bytes(vr + head[at + 6:at + 8], "little")
        if length == UNDEFINED:
            break
        values[0x00020000 | head[at + 2] | head[at + 3] << 8] = head[start:start + length]
        at = start + length
    return values, at


def _guess(head: bytes, at: int) -> str:
    """Return the transfer syntax by the first element; "" where there is none."""
    if at + 8 > len(head):
        return ""
    little, big = head[at] | head[at + 1] << 8, head[at] << 8 | head[at + 1]
    if head[at + 4:at + 6] not in _VRS:
        return uids.IMPLICIT_VR_LITTLE_ENDIAN if little <= big else ""
    return uids.EXPLICIT_VR_BIG_ENDIAN if little > 0xFF >= big else uids.EXPLICIT_VR_LITTLE_ENDIAN


def _bare(head: bytes) -> Recognised | None:
    """Recognise a data set without meta information."""
    if head[:2] not in {b"\x08\x00", b"\x00\x08"}:
        return None
    syntax = _guess(head, 0)
    if not syntax:
        return None
    found = _identity(head, 0, syntax)
    sop_class, sop_instance = found.get(tags.SOP_CLASS_UID, ""), found.get(tags.SOP_INSTANCE_UID, "")
    if not sop_class or not sop_instance or max(len(sop_class), len(sop_instance)) > _LONGEST:
        return None
    return Recognised(sop_class, sop_instance, syntax, 0)


def _identity(head: bytes, at: int, syntax_uid: str) -> dict[int, str]:
    """Return SOP class and instance of the data set as far as they are in ``head``."""
    syntax = uids.transfer_syntax(syntax_uid)
    if syntax.deflated:
        try:
            head, at = zlib.decompressobj(-15).decompress(head[at:], _INFLATED_OCTETS), 0
        except zlib.error:
            return {}
    found: dict[int, str] = {}
    order: Literal["little", "big"] = "little" if syntax.little_endian else "big"
    end, explicit = len(head), syntax.explicit_vr
    group = b"\x08\x00" if syntax.little_endian else b"\x00\x08"
    while at + 8 <= end:
        element = int.from_bytes(head[at + 2:at + 4], order)
        vr = head[at + 4:at + 6]
        if not explicit or vr not in _VRS:
            start, length = at + 8, int.from_bytes(head[at + 4:at + 8], order)
        elif vr in LONG_VRS:
            start, length = at + 12, int.from_bytes(head[at + 8:at + 12], order)
        else:
            start, length = at + 8, int.from_bytes(head[at + 6:at + 8], order)
        if head[at:at + 2] != group:
            if int.from_bytes(head[at:at + 2], order) > _GROUP:
                break
        elif element > _LAST_ELEMENT:
            break
        elif element in _IDENTIFYING and start + length <= end:
            found[_GROUP << 16 | element] = _meant(head[start:start + length])
        if length == UNDEFINED:
            break
        at = start + length
    return found


def _meant(value: bytes) -> str:
    return uid_value.meant(value).decode("latin-1")
