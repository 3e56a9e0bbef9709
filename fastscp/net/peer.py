"""Who is at the other end of a connection."""

from __future__ import annotations

from dataclasses import dataclass

_MAPPED_PREFIX = "::ffff:"  #: an IPv4 peer of an IPv6 socket (RFC 4291 §2.5.5.2)


@dataclass(frozen=True)
class Peer:
    """The other side of a connection: numeric address, port, and host name when it was looked up."""

    address: str
    port: int
    host: str = ""
    host_follows: bool = False  #: its name is being looked up

    @property
    def name(self) -> str:
        """Host name where known, else the address: what ``#r`` stands for."""
        return self.host or self.address


def peer_at(address: tuple[object, ...]) -> Peer:
    """Return the peer at a socket address (accept(2), getpeername(2)); an IPv4 peer of a dual-stack socket as IPv4."""
    shown = str(address[0])
    if shown.lower().startswith(_MAPPED_PREFIX) and "." in shown:
        shown = shown[len(_MAPPED_PREFIX) :]
    return Peer(shown, int(str(address[1])))
