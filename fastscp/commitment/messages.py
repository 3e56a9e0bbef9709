"""Data sets of storage commitment: what an N-ACTION asks for, what an N-EVENT-REPORT says. Pure.

    (0008,1195) Transaction UID
    (0008,1199) Referenced SOP Sequence: (0008,1150) class, (0008,1155) instance of each object
    (0008,1198) Failed SOP Sequence: the same, and (0008,1197) Failure Reason

Implicit or explicit VR little endian. What is not known is passed over, whatever its nesting up to ``_DEEPEST``; every length is
compared with what is there.

Source: PS3.4 §J.3.2.1.1, §J.3.3.1.1; PS3.5 §7.1, §7.5; PS3.7 §10.1.4.1.10
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastscp.dicom import uid_value
from fastscp.dimse import status
from fastscp.errors import FastscpError

TRANSACTION_UID = 0x00081195
_REFERENCED_SEQUENCE, _FAILED_SEQUENCE = 0x00081199, 0x00081198
_REFERENCED_CLASS, _REFERENCED_INSTANCE, _FAILURE_REASON = 0x00081150, 0x00081155, 0x00081197
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_DEEPEST = 16
_LONGEST_UID = 64


class RequestError(FastscpError):
    """A request that cannot be taken; ``status`` is what it is answered with."""

    def __init__(self, reason: str, code: int = status.INVALID_ARGUMENT_VALUE) -> None:
        super().__init__(reason)
        self.status = code


@dataclass(frozen=True)
class Reference:
    """An object that is asked for."""

    sop_class: str
    sop_instance: str


@dataclass(frozen=True)
class Action:
    """What an N-ACTION asks for."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Failure:
    """An object that is not committed, and why (PS3.3 §C.14.1.1)."""

    reference: Reference
    reason: int


@dataclass(frozen=True)
class Result:
    """What a requestor is told."""

    transaction_uid: str
    committed: tuple[Reference, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def event_type(self) -> int:
        """1: all is committed, 2: failures exist."""
        return 2 if self.failed else 1


# -- reading ----------------------------------------------------------------------------------------


def read_action(octets: bytes, *, explicit: bool) -> Action:
    """Read the Action Information of an N-ACTION. Raises RequestError."""
    reader = _Reader(octets, explicit=explicit)
    transaction, references = "", None
    for tag, start, end in reader.elements(0, len(octets), 0):
        if tag == TRANSACTION_UID:
            transaction = _uid(octets[start:end], "Transaction UID")
        elif tag == _REFERENCED_SEQUENCE:
            references = [_reference(reader, *item) for item in reader.items(start, end, 1)]
    if not transaction:
        raise RequestError("no Transaction UID")
    if not references:
        raise RequestError("no Referenced SOP Sequence" if references is None else "the Referenced SOP Sequence is empty")
    return Action(transaction, tuple(dict.fromkeys(references)))


def _reference(reader: _Reader, start: int, end: int) -> Reference:
    values = {tag: reader.octets[at:until] for tag, at, until in reader.elements(start, end, 2)}
    return Reference(_uid(values.get(_REFERENCED_CLASS, b""), "Referenced SOP Class UID"),
                     _uid(values.get(_REFERENCED_INSTANCE, b""), "Referenced SOP Instance UID"))


def _uid(raw: bytes, name: str) -> str:
    uid = uid_value.meant(raw)
    if not uid or len(uid) > _LONGEST_UID or not uid.replace(b".", b"").isdigit():
        raise RequestError(f"{name} is {'not one UID' if uid else 'missing'}")
    return uid.decode("ascii")


class _Reader:
    """Finds elements in octets that may be anything. Methods raise RequestError."""

    def __init__(self, octets: bytes, *, explicit: bool) -> None:
        self.octets = octets
        self._explicit = explicit

    def elements(self, at: int, end: int, depth: int) -> Iterator[tuple[int, int, int]]:
        """Yield (tag, begin and end of the value); an item delimitation ends them."""
        while at < end:
            tag, start, length, nested = self._header(at, end)
            if tag == _ITEM_END:
                return
            until = self._sequence_end(start, end, depth) if length == _UNDEFINED else start + length
            if until > end or (length == _UNDEFINED and not nested):
                raise _broken(at)
            yield tag, start, until
            at = until + 8 if length == _UNDEFINED else until

    def items(self, at: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
        """Yield begin and end of each item of a sequence."""
        while at < end:
            tag, start, length = self._bare(at, end)
            if tag != _ITEM:
                raise _broken(at)
            until = self._item_end(start, end, depth) if length == _UNDEFINED else start + length
            if until > end:
                raise _broken(at)
            yield start, until
            at = until + 8 if length == _UNDEFINED else until

    def _bare(self, at: int, end: int) -> tuple[int, int, int]:
        """Return tag, begin and length of an item, or of a delimitation."""
        if end - at < 8:
            raise _broken(at)
        group, element, length = struct.unpack_from("<HHL", self.octets, at)
        return group << 16 | element, at + 8, length

    def _header(self, at: int, end: int) -> tuple[int, int, int, bool]:
        """Return tag, begin and length of a value, and whether it may be of undefined length."""
        tag, start, length = self._bare(at, end)
        if not self._explicit or tag >> 16 == _ITEM >> 16:
            return tag, start, length, True
        vr = self.octets[at + 4:at + 6]
        if vr not in _LONG_VRS:
            return tag, start, length >> 16, False
        if end - at < 12:
            raise _broken(at)
        return tag, at + 12, struct.unpack_from("<L", self.octets, at + 8)[0], vr in {b"SQ", b"UN"}

    def _sequence_end(self, at: int, end: int, depth: int) -> int:
        """Return where the delimitation of a sequence is."""
        if depth > _DEEPEST:
            raise RequestError("nested too deeply")
        while True:
            tag, start, length = self._bare(at, end)
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise _broken(at)
            at = self._item_end(start, end, depth + 1) + 8 if length == _UNDEFINED else start + length

    def _item_end(self, at: int, end: int, depth: int) -> int:
        """Return where the delimitation of an item is."""
        if depth > _DEEPEST:
            raise RequestError("nested too deeply")
        while True:
            tag, start, length, _ = self._header(at, end)
            if tag == _ITEM_END:
                return at
            at = self._sequence_end(start, end, depth + 1) + 8 if length == _UNDEFINED else start + length


def _broken(at: int) -> RequestError:
    return RequestError(f"the Action Information is broken at offset {at}", status.PROCESSING_FAILURE)


# -- writing ----------------------------------------------------------------------------------------


def encode_result(result: Result, *, explicit: bool) -> bytes:
    """Return the Event Information of an N-EVENT-REPORT."""
    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not explicit:
            return head + struct.pack("<L", len(value)) + value
        if vr == b"SQ":
            return head + vr + struct.pack("<HL", 0, len(value)) + value
        return head + vr + struct.pack("<H", len(value)) + value

    def uid(tag: int, text: str) -> bytes:
        octets = text.encode("ascii")
        return element(tag, b"UI", octets + b"\0" * (len(octets) & 1))

    def sequence(tag: int, items: Sequence[bytes]) -> bytes:
        return element(tag, b"SQ", b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items))

    def reference(of: Reference) -> bytes:
        return uid(_REFERENCED_CLASS, of.sop_class) + uid(_REFERENCED_INSTANCE, of.sop_instance)

    octets = uid(TRANSACTION_UID, result.transaction_uid)
    if result.failed:
        octets += sequence(_FAILED_SEQUENCE, [
            reference(failure.reference) + element(_FAILURE_REASON, b"US", struct.pack("<H", failure.reason))
            for failure in result.failed])
    if result.committed:
        octets += sequence(_REFERENCED_SEQUENCE, [reference(of) for of in result.committed])
    return octets
