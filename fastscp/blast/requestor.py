"""What a Storage SCP says to its requestor: answers to the association and to objects (sans-IO).

``Reader.receive`` takes octets as they come and returns what they mean. Of a response only the two numbers that matter are
looked at: it is one of thousands a second.

Source: PS3.8 §9.3, PS3.7 §9.3.1.2
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from fastscp.dimse.command import MESSAGE_ID_BEING_RESPONDED_TO, STATUS
from fastscp.errors import PeerError
from fastscp.ul.decode import decode_abort, decode_associate_ac, decode_associate_rj
from fastscp.ul.describe import reject
from fastscp.ul.pdu import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_RELEASE_RP,
    ACCEPTANCE,
    P_DATA_TF,
    PDU_HEADER_OCTETS,
)

_PDV = struct.Struct(">IBB")
_ELEMENT = struct.Struct("<HHI")
_COMMAND, _LAST = 1, 2
_MOST_PDU_OCTETS = 1 << 20
DEFAULT_PDU = 16384  #: for a peer that names no length
MOST_PDU = 131072  #: for a peer that takes any


class Accepted(NamedTuple):
    """The association is established."""

    contexts: frozenset[int]
    max_pdu: int


class Rejected(NamedTuple):
    """It is not."""

    reason: str


class Response(NamedTuple):
    """An object's status."""

    message_id: int
    status: int


class Released(NamedTuple):
    """The association has ended as was asked."""


class Aborted(NamedTuple):
    """The association has ended as was not asked."""

    reason: str


Said = Accepted | Rejected | Response | Released | Aborted


class Reader:
    """The stream from one peer."""

    __slots__ = ("_command", "_kept")

    def __init__(self) -> None:
        self._kept = b""
        self._command = b""

    def receive(self, data: bytes) -> list[Said]:
        """Take in what was read. Raises PeerError for what no peer may say to a requestor."""
        if self._kept:
            data = self._kept + data
        said: list[Said] = []
        at, end = 0, len(data)
        while end - at >= PDU_HEADER_OCTETS:
            length = int.from_bytes(data[at + 2:at + 6], "big")
            if length > _MOST_PDU_OCTETS:
                raise PeerError(f"a PDU of {length} octets")
            stop = at + PDU_HEADER_OCTETS + length
            if stop > end:
                break
            if data[at] == P_DATA_TF:
                self._data(data, at + PDU_HEADER_OCTETS, stop, said)
            else:
                said.append(_other(data[at], data[at + PDU_HEADER_OCTETS:stop]))
            at = stop
        self._kept = data[at:]
        return said

    def _data(self, data: bytes, at: int, end: int, said: list[Said]) -> None:
        while at < end:
            if end - at < _PDV.size:
                raise PeerError("a PDV is cut")
            length, _, flags = _PDV.unpack_from(data, at)
            stop = at + 4 + length
            if length < 2 or stop > end:
                raise PeerError("a PDV is longer than its PDU")
            if flags & _COMMAND:
                self._command += data[at + _PDV.size:stop]
                if flags & _LAST:
                    said.append(_response(self._command))
                    self._command = b""
            at = stop


@lru_cache(maxsize=4096)
def _response(command: bytes) -> Response:
    """Read the two numbers of a response; peers that leave the UIDs out say the same again and again."""
    at, end = 0, len(command)
    message_id = status = -1
    unpack = _ELEMENT.unpack_from
    while end - at >= _ELEMENT.size:
        _, element, length = unpack(command, at)
        at += _ELEMENT.size
        if length == 2:
            if element == STATUS:
                status = command[at] | command[at + 1] << 8
            elif element == MESSAGE_ID_BEING_RESPONDED_TO:
                message_id = command[at] | command[at + 1] << 8
        at += length
    if status < 0 or message_id < 0:
        raise PeerError("a response without status or message id")
    return Response(message_id, status)


@lru_cache(maxsize=64)
def _accepted(body: bytes) -> Accepted:
    """Read an A-ASSOCIATE-AC; a peer says the same to every association of a run."""
    accept = decode_associate_ac(body)
    announced = accept.user_information.maximum_length
    limit = DEFAULT_PDU if announced is None else announced or MOST_PDU
    return Accepted(frozenset(context.id for context in accept.contexts if context.result == ACCEPTANCE), limit)


def _other(kind: int, body: bytes) -> Said:
    if kind == A_ASSOCIATE_AC:
        return _accepted(body)
    if kind == A_ASSOCIATE_RJ:
        return Rejected(reject(decode_associate_rj(body)))
    if kind == A_RELEASE_RP:
        return Released()
    if kind == A_ABORT:
        abort = decode_abort(body)
        return Aborted(f"aborted by the peer (source {abort.source}, reason {abort.reason})")
    raise PeerError(f"a PDU of type {kind:02X}H")
