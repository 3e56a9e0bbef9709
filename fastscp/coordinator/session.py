"""One worker's channel, what came over it, and how packets of it are answered that cannot be handled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from fastscp.coordinator.channels import Channel, Transport
from fastscp.errors import PacketError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process import notes, packets
from fastscp.process.loop import Loop
from fastscp.study import events, variables

_log = logging.getLogger(APPLICATION)

#: status of an object that a fault of the service itself is to blame for (PS3.7 Annex C.5.21)
PROCESSING_FAILURE = 0x0110
_SHOWN = 4096  #: characters of a packet in the log
_OUT_OF_RESOURCES = 0xA700  #: PS3.4 Table B.2-1


class Nowhere:
    """The channel of a worker that is gone: what it would be told is of no interest any more."""

    open = blocked = behind = False

    def send(self, octets: bytes) -> None:
        """Send nothing."""

    def read(self) -> bool:
        """Read nothing."""
        return False

    def close(self) -> None:
        """Close nothing."""

    leave = close


class Session:
    """One worker's channel, and what the worker told over it. Without a ``transport`` the worker is gone."""

    def __init__(self, key: int, name: str, transport: Transport | None, loop: Loop, *,
                 taken: Callable[[Session, bytes], None], lost: Callable[[Session], None]) -> None:
        self.key = key
        self.incarnation = name
        self.highest_event = 0  #: taken over
        self.associations: dict[str, tuple[dict[str, Any], bytes]] = {}  #: ``opened`` packets
        self.requests: set[int] = set()  #: transfers under way
        self.kept: dict[str, int] = {}  #: those that go on between two objects, by association
        self.channel: Channel | Nowhere = Nowhere()
        if transport is not None:
            self.channel = Channel(transport, loop, taken=partial(taken, self), lost=partial(lost, self))

    def stored(self, packet: packets.Stored) -> None:
        """Take note of the end of a transfer, or that it is kept."""
        request = packet["request"]
        if request is None:
            return
        if packet["keeps"]:
            self.kept[packet["association"]] = request
        else:
            self.requests.discard(request)
            self.kept.pop(packet["association"], None)


def caller_of(session: Session, association: str) -> tuple[Mapping[str, Any], bytes]:
    """Return the ``opened`` packet of an association and its octets."""
    known = session.associations.get(association)
    if known is not None:
        return known
    _log.error("object of association %s, which was never opened", association)
    return variables.NOBODY, orjson.dumps(variables.NOBODY)


def refusal(request: int, reason: str, status: int = _OUT_OF_RESOURCES) -> packets.Placed:
    """Answer that no object can be placed now."""
    return {"kind": "placed", "request": request, "directory": "", "status": status, "message": reason, "late": False,
            "lasting": False}


def peer_of(session: Session, packet: packets.WorkerPacket) -> str:
    """Return the address of the peer that a packet is about, "" for none that is known."""
    known = session.associations.get(str(packet.get("association")))
    return str((packet if known is None else known[0]).get("peer", ""))


def noted(sink: events.EventSink | None, now: float, packet: notes.Note | notes.Missed) -> None:
    """Put what a packet notes into the event stream."""
    if sink is None:
        return
    if packet["kind"] == "refused":
        sink.put(events.object_refused(now, packet))
    elif packet["kind"] == "quarantined":
        sink.put(events.object_quarantined(now, packet))
    elif packet["kind"] == "rejected":
        sink.put(events.association_rejected(now, packet))
    elif packet["kind"] == "turned_away":
        sink.put(events.connection_refused(now, packet))
    elif packet["kind"] == "missed":
        sink.put(events.events_dropped(now, packet["count"]))
    else:
        raise PacketError(f"a packet of kind {packet['kind']} from a worker")


def leave_out(octets: bytes) -> None:
    """Log an error that is being handled, and the packet that it came from: an operator may have to do what it asked for."""
    _log.error("internal error, a packet is left out: %s", printable(octets.decode("utf-8", "replace"), _SHOWN),
               exc_info=True)


def encoded(packet: packets.CoordinatorPacket) -> bytes:
    """Return the octets of an answer, or of a refusal where it cannot be encoded."""
    try:
        return packets.encode(packet)
    except PacketError:
        leave_out(repr(packet).encode())
        if packet["kind"] != "placed":
            raise
        return packets.encode(refusal(packet["request"], "internal error", PROCESSING_FAILURE))
