"""Records between the acceptor process and a worker process.

One packet each: kind (1 octet), connection number (4 octets, big endian), text (UTF-8, kind CONNECTION
only: ``port address host``, host empty when not looked up). Descriptors travel beside the packet.

| kind | from | descriptor | meaning |
| --- | --- | --- | --- |
| ``C`` | acceptor | socket | an accepted connection |
| ``E`` | acceptor | channel | the event channel to the (new) coordinator |
| ``D`` | acceptor | | drain: finish what is under way, take nothing more, exit |
| ``S`` | acceptor | | stop now |
| ``H`` | acceptor | | reload: certificates and log files |
| ``U`` | worker | | up: ready for connections |
| ``T`` | worker | | taken: this connection is the worker's from now on |
| ``F`` | worker | | finished: this connection is closed |
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from fastscp.errors import ProcessError

_HEADER = struct.Struct(">cI")


class Kind(enum.Enum):
    """First octet of a record."""

    CONNECTION = b"C"
    EVENT_CHANNEL = b"E"
    DRAIN = b"D"
    STOP = b"S"
    RELOAD = b"H"
    UP = b"U"
    TAKEN = b"T"
    FINISHED = b"F"


_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True)
class Peer:
    """The other side of a connection: numeric address, port, and host name when it was looked up."""

    address: str
    port: int
    host: str = ""

    @property
    def name(self) -> str:
        """Host name where known, else the address: what ``#r`` stands for."""
        return self.host or self.address


def encode(kind: Kind, number: int = 0, peer: Peer | None = None) -> bytes:
    """Encode one record."""
    header = _HEADER.pack(kind.value, number)
    if peer is None:
        return header
    return header + f"{peer.port} {peer.address} {peer.host}".encode()


def decode(packet: bytes) -> tuple[Kind, int, Peer | None]:
    """Decode one record. Raises ProcessError: both sides are ours, so a bad record is a bug."""
    try:
        value, number = _HEADER.unpack_from(packet)
        kind = _KINDS[value]
        if kind is not Kind.CONNECTION:
            return kind, number, None
        port, address, host = packet[_HEADER.size :].decode().split(" ", 2)
        return kind, number, Peer(address, int(port), host)
    except (struct.error, KeyError, ValueError) as error:
        raise ProcessError(f"bad control record {packet[:40]!r}") from error
