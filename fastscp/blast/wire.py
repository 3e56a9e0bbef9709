"""Messages that are encoded once: the PDUs of a C-STORE-RQ and its data set, but for UIDs and message id.

Strategy: everything up to the last octet that differs between copies is the *head*, which is copied and patched for each
object: a few kilobytes. All that follows, the *tail*, is shared by every copy, association and process (it is made before
they are forked, or lies in a file's pages). ``socket.sendmsg`` takes both without another copy.

A deflated data set is deflated in two parts: what differs, each time anew, and the rest once. A full flush between them
makes one stream of the two (RFC 1951 §3.2.4).

Source: PS3.8 §9.3.5, PS3.7 §9.3.1.1
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from fastscp.blast.numbering import INSTANCE
from fastscp.blast.template import Template
from fastscp.dimse.command import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    PRIORITY,
)
from fastscp.ul.pdu import P_DATA_TF

_HEADERS = struct.Struct(">BxIIBB")  # PDU type and length, PDV length, context id, message control header
_ELEMENT = struct.Struct("<HHI")
_NUMBER = struct.Struct("<H")
_OVERHEAD = 6
_COMMAND_LAST, _DATA, _DATA_LAST = 3, 0, 2
_DATA_FOLLOWS = 1
#: data sets up to this size are laid out in one piece; of larger ones only the PDU headers are made
_CONTIGUOUS: Final = 1 << 20
_SMALL: Final = 16384  #: to copy so few octets costs less than to hand two pieces on
_STORED_NOTHING: Final = b"\0\0\0\xff\xff"  #: an empty stored block of deflate

View = bytes | bytearray | memoryview


def _element(number: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, number, len(value)) + value


def _padded(uid: bytes) -> bytes:
    return uid + b"\0" * (len(uid) & 1)


def store_command(sop_class: str, sop_instance: bytes, message_id: int) -> bytes:
    """Return the command set of a C-STORE-RQ as most requestors encode it."""
    body = b"".join((
        _element(AFFECTED_SOP_CLASS_UID, _padded(sop_class.encode("latin-1"))),
        _element(COMMAND_FIELD, _NUMBER.pack(C_STORE_RQ)), _element(MESSAGE_ID, _NUMBER.pack(message_id)),
        _element(PRIORITY, _NUMBER.pack(0)), _element(COMMAND_DATA_SET_TYPE, _NUMBER.pack(_DATA_FOLLOWS)),
        _element(AFFECTED_SOP_INSTANCE_UID, _padded(sop_instance))))
    return _element(0, struct.pack("<I", len(body))) + body


class Image:
    """The message of one template for one presentation context and one length of PDUs (``max_pdu``, without its header)."""

    def __init__(self, template: Template, context_id: int, max_pdu: int) -> None:
        self.octets = len(template.data)
        self._template = template
        self._context_id, self._step = context_id, max_pdu - _OVERHEAD
        instance = b"1" * template.octets_of(INSTANCE)
        command = store_command(template.sop_class, instance, 0)
        begin = _HEADERS.pack(P_DATA_TF, len(command) + _OVERHEAD, len(command) + 2, context_id, _COMMAND_LAST) + command
        self._message_id = begin.index(_ELEMENT.pack(0, MESSAGE_ID, 2)) + _ELEMENT.size
        #: (kind, first octet of the UID, past its last one, where they go)
        self._patches = [(INSTANCE, 0, len(instance), len(begin) - len(_padded(instance)))]
        differs = max(spot.offset + spot.octets for spot in template.spots)
        self._small = False  #: head and tail are worth joining
        #: octets of the data set in front that are deflated anew for each copy
        self._inflated: int | None = None
        if template.deflated:
            self._deflate(begin, differs)
            return
        data = template.data
        head_end = min(len(data), (differs + self._step - 1) // self._step * self._step)
        self._head = begin + b"".join(self._pdus(data[:head_end], last=head_end == len(data)))
        for spot in template.spots:
            self._locate(spot.kind, spot.offset, spot.octets, len(begin))
        self._tail: list[View] = self._pdus(data[head_end:], last=True) if head_end < len(data) else []
        if len(data) <= _CONTIGUOUS and self._tail:
            self._tail = [b"".join(self._tail)]
            self._small = len(data) <= _SMALL

    def _locate(self, kind: int, offset: int, octets: int, base: int) -> None:
        """Note where the octets of a UID go; a PDU may end inside it."""
        done = 0
        while done < octets:
            pdu, within = divmod(offset + done, self._step)
            piece = min(octets - done, self._step - within)
            self._patches.append((kind, done, done + piece, base + pdu * (self._step + _HEADERS.size) + _HEADERS.size + within))
            done += piece

    def _pdus(self, data: View, *, last: bool) -> list[View]:
        """Return headers and payloads, in turn."""
        parts: list[View] = []
        for start in range(0, len(data), self._step) or (0,):
            piece = data[start:start + self._step]
            flags = _DATA_LAST if last and start + self._step >= len(data) else _DATA
            parts += (_HEADERS.pack(P_DATA_TF, len(piece) + _OVERHEAD, len(piece) + 2, self._context_id, flags), piece)
        return parts

    def _deflate(self, begin: bytes, differs: int) -> None:
        data = self._template.data
        self._head, self._inflated = begin, differs
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        rest = compressor.compress(data[differs:]) + compressor.flush()
        self._tail = [b"".join(self._pdus(rest + b"\0" * (len(rest) & 1), last=True))]

    def message(self, uids: Mapping[int, bytes], message_id: int) -> list[View]:
        """Return the octets of one copy's message, to be sent in this order and left as they are."""
        head = bytearray(self._head)
        _NUMBER.pack_into(head, self._message_id, message_id)
        for kind, start, end, at in self._patches:
            head[at:at + end - start] = uids[kind][start:end]
        if self._inflated is not None:
            head += b"".join(self._pdus(self._deflated_head(uids), last=False))
        if self._small:
            return [head + self._tail[0]]
        return [head, *self._tail]

    def _deflated_head(self, uids: Mapping[int, bytes]) -> bytes:
        copy = bytearray(self._template.data[:self._inflated])
        for spot in self._template.spots:
            copy[spot.offset:spot.offset + spot.octets] = uids[spot.kind]
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        octets = compressor.compress(copy) + compressor.flush(zlib.Z_FULL_FLUSH)
        return octets + _STORED_NOTHING if len(octets) & 1 else octets
