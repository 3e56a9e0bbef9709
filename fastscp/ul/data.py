"""P-DATA-TF of an established association: headers are read and judged, payloads handed on as views.

Strategy: one loop touches each PDU header once, each PDV header once; PDUs that are built all alike, as those of a
large data set are, are recognised together. No PDU is buffered, only a header cut by the end of a read.

Invariant: a call takes no more than ``MOST_HEADERS`` headers, which are handled in a few milliseconds; a read of large
PDUs has fewer.

Source: PS3.8 §9.3.5
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator

from fastscp.errors import PeerError
from fastscp.ul.events import AssociationEvent
from fastscp.ul.pdu import INVALID_PDU_PARAMETER_VALUE, P_DATA_TF

_PDU = struct.Struct(">BxI")  # PDU type, length
_PDV = struct.Struct(">IBB")  # PDV item length, presentation context id, message control header
_PDU_PDV = struct.Struct(">BxIIBB")
_PDV_OVERHEAD = 6
_HEADERS_OCTETS = 12  #: PDU header and PDV header of a P-DATA-TF with one PDV
_FEWEST_ALIKE = 3  #: PDUs that are worth recognising together
MOST_HEADERS = 256  #: of PDVs that are taken at once
_ANY_LENGTH = 0xFFFFFFFF  # what an announced maximum length of 0 allows (PS3.8 Annex D.1)


class DataReader:
    """Where in the P-DATA-TF of one association the next octet belongs."""

    __slots__ = ("_carry", "_flags", "_maximum", "_pdu_left", "_pdv_id", "_pdv_left", "other")

    def __init__(self, max_pdu_length: int) -> None:
        self.other: tuple[int, int] | None = None  #: type and length of the other PDU that ``receive`` met
        self._maximum = max_pdu_length or _ANY_LENGTH
        self._carry = bytearray()  #: the begin of a header cut by the end of a read
        self._pdu_left = 0  #: octets of the current P-DATA-TF not yet consumed
        self._pdv_left = 0  #: payload octets of the current PDV not yet consumed
        self._pdv_id = 0
        self._flags = 0

    @property
    def inside_pdu(self) -> bool:
        """Whether a PDU, or its header, has begun and is not complete."""
        return bool(self._carry or self._pdu_left)

    def receive(self, data: memoryview, offset: int, end: int, events: list[AssociationEvent]) -> int:
        """Consume P-DATA-TF until the read ends or the header of another PDU was met; return the new offset.

        It returns sooner, between two headers, when there are a great many. ``other`` tells which it was.

        The one loop every octet of every instance passes through; perf/wire.py measures it. ``views`` is the
        list of the last event while fragments may still join it. Raises PeerError without a source for a length
        that cannot be.
        """
        self.other = None
        append = events.append
        carry = self._carry
        pdu_left = self._pdu_left
        pdv_left = self._pdv_left
        context_id = self._pdv_id
        flags = self._flags
        maximum = self._maximum
        views: list[memoryview] | None = None
        begun = False  # a PDV has, which may be empty
        room = MOST_HEADERS
        while True:
            # 1. the payload of the PDV at hand
            if pdv_left or begun:
                begun = False
                stop = offset + pdv_left
                if stop > end:
                    if offset < end:
                        if views is None:
                            append((context_id, flags & 1, [data[offset:end]]))
                        else:
                            views.append(data[offset:end])
                        pdv_left -= end - offset
                        pdu_left -= end - offset
                    offset = end
                    break
                if views is None:
                    views = []
                    append((context_id, flags, views))
                views.append(data[offset:stop])
                if flags & 2:
                    events[-1] = context_id, flags, views
                    views = None
                pdu_left -= pdv_left
                pdv_left = 0
                offset = stop
            # 2. the next header: in place where it is whole, else through the carry
            if not room:
                break
            room -= 1
            joined = context_id, flags & 1
            if pdu_left:
                if carry or end - offset < _PDV_OVERHEAD:
                    taken = min(_PDV_OVERHEAD - len(carry), end - offset)
                    carry += data[offset : offset + taken]
                    offset += taken
                    if len(carry) < _PDV_OVERHEAD:
                        break
                    length, context_id, flags = _PDV.unpack(carry)
                    carry.clear()
                else:
                    length, context_id, flags = _PDV.unpack_from(data, offset)
                    offset += _PDV_OVERHEAD
            elif not carry and end - offset >= _HEADERS_OCTETS:
                kind, pdu_left, length, context_id, flags = _PDU_PDV.unpack_from(data, offset)
                if kind != P_DATA_TF:
                    pdu_left = 0
                    offset += _PDU.size
                    self._pdu_left = self._pdv_left = 0
                    self.other = kind, _PDU.unpack_from(data, offset - _PDU.size)[1]
                    return offset
                if not _PDV_OVERHEAD <= pdu_left <= maximum:
                    raise bad_length(pdu_left)
                if not flags & 3 and length == pdu_left - 4 and end - offset >= _FEWEST_ALIKE * (pdu_left + 6):
                    alike = _fragments_alike(data, offset, min(end, offset + (room + 1) * (pdu_left + 6)), pdu_left + 6)
                    room -= len(alike) - 1
                    if views is None or joined != (context_id, 0):
                        views = alike
                        append((context_id, 0, views))
                    else:
                        views += alike
                    offset += len(alike) * (pdu_left + 6)
                    flags = pdu_left = 0
                    continue
                offset += _HEADERS_OCTETS
            else:
                taken = min(_PDU.size - len(carry), end - offset)
                carry += data[offset : offset + taken]
                offset += taken
                if len(carry) < _PDU.size:
                    break
                kind, pdu_left = _PDU.unpack(carry)
                carry.clear()
                if kind != P_DATA_TF:
                    self._pdu_left = self._pdv_left = 0
                    self.other = kind, pdu_left
                    return offset
                if not _PDV_OVERHEAD <= pdu_left <= maximum:
                    raise bad_length(pdu_left)
                continue
            # 3. judge the PDV header: what is left must hold it, and then another PDV or nothing
            pdv_left = length - 2
            pdu_left -= _PDV_OVERHEAD
            if not (0 <= pdv_left == pdu_left or 0 <= pdv_left <= pdu_left - _PDV_OVERHEAD):
                raise PeerError(f"PDV of length {length} does not fit its P-DATA-TF",
                                reason=INVALID_PDU_PARAMETER_VALUE)
            flags &= 3  # the other bits are not checked (PS3.8 Annex E.2)
            if views is not None and joined != (context_id, flags & 1):
                views = None
            begun = True
        self._pdu_left = pdu_left
        self._pdv_left = pdv_left
        self._pdv_id = context_id
        self._flags = flags
        return offset


def bad_length(length: int) -> PeerError:
    """Return the error for a P-DATA-TF that is empty, too short for a PDV, or longer than was agreed."""
    return PeerError(f"P-DATA-TF of {length} octets", reason=INVALID_PDU_PARAMETER_VALUE)


@functools.lru_cache(maxsize=64)
def _header_reader(stride: int) -> Callable[[memoryview], Iterator[tuple[bytes]]]:
    """Return a function that reads the headers of P-DATA-TF that follow each other every ``stride`` octets."""
    return struct.Struct(f"{_HEADERS_OCTETS}s{stride - _HEADERS_OCTETS}x").iter_unpack


def _fragments_alike(data: memoryview, offset: int, end: int, stride: int) -> list[memoryview]:
    """Return the payloads of the whole P-DATA-TF at ``offset`` and of those behind it whose headers are the same."""
    headers = _header_reader(stride)(data[offset : end - (end - offset) % stride])
    (first,) = next(headers)
    count = 1
    for (header,) in headers:  # no further than they are alike: what follows may begin anew with every PDU
        if header != first:
            break
        count += 1
    return [data[at + _HEADERS_OCTETS : at + stride] for at in range(offset, offset + count * stride, stride)]
