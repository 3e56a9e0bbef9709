"""Connections that a balancer passes on: whose they are is read from them, and asked whether he is let in.

Strategy: the header of the PROXY protocol (``fastscp.proxy.header``) is looked at and then taken octet for octet, so that
what is behind it stays in the socket for whoever serves it: a PDU, a TLS hello. The acceptor process never reads a
peer's octet, and knows its rules and host names best: it is told the address, and answers (``Verdict``). It is asked when
the peer has something to say, so that the checks of a balancer are nobody's concern.

Invariants: an entrance ends once: its socket is let in, or closed. All of it counts to the ACSE timeout. What it does not
do: decide who is let in, or speak DICOM.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from fastscp.log.limit import PeerLimit
from fastscp.log.names import NETWORK
from fastscp.net.peer import Peer
from fastscp.net.transport import lost
from fastscp.process.loop import IN, Loop
from fastscp.proxy.header import HeaderError, HeaderReader
from fastscp.worker.deadline import Deadline

_log = logging.getLogger(NETWORK)

_LOOK_OCTETS = 4096  #: most headers in one look, and of an endless one no more than this at a time


@dataclass(frozen=True)
class Verdict:
    """Whether a peer is let in, and his host name as far as it is known."""

    allowed: bool
    host: str = ""
    host_follows: bool = False  #: it is being looked up


class Porter(Protocol):
    """Who decides, and whom it concerns."""

    @property
    def judge(self) -> Callable[[int, Peer, tuple[str, int]], None]:
        """Has it decided whether the peer of a connection may use a server; ``Entrances.decide`` gets the answer."""

    def adopt(self, number: int, sock: socket.socket, peer: Peer, waited_s: float) -> None:
        """Serve a socket, whose peer has been here for so long."""

    def turned_away(self, number: int, peer: Peer, reason: str) -> None:
        """Take note that a connection was closed; ``reason`` is empty where nobody has done anything wrong."""


class Entrances:
    """Every connection of this process of which it is not known whose it is, by number."""

    def __init__(self, loop: Loop, porter: Porter, limit_s: float, said: PeerLimit) -> None:
        self.loop = loop
        self.porter = porter
        self.limit_s = limit_s
        self.said = said
        self._here: dict[int, _Entrance] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._here)

    def __iter__(self) -> Iterator[int]:
        """Yield their numbers."""
        return iter(self._here)

    def add(self, number: int, sock: socket.socket, balancer: Peer) -> None:
        """Take in a connection of a balancer."""
        self._here[number] = _Entrance(self, number, sock, balancer)

    def decide(self, number: int, verdict: Verdict) -> None:
        """Let in whom it was asked for, or close; nobody may be there any more."""
        entrance = self._here.get(number)
        if entrance is None:
            return
        if verdict.allowed:
            self._let_in(entrance, replace(entrance.peer, host=verdict.host, host_follows=verdict.host_follows))
        else:  # the rule that refuses him has been logged, and told
            self.close(number, "")

    def close(self, number: int, reason: str) -> None:
        """Close a connection."""
        entrance = self._here.pop(number)
        entrance.leave()
        entrance.sock.close()
        self.porter.turned_away(number, entrance.peer, reason)

    def close_silent(self, begun_before: float) -> None:
        """Close whoever has been here longer than since then (seconds of the loop) and has not come to ask for anything."""
        for number, entrance in list(self._here.items()):
            if entrance.begun <= begun_before:
                self.close(number, "the service stops")

    def _let_in(self, entrance: _Entrance, peer: Peer) -> None:
        del self._here[entrance.number]
        entrance.leave()
        self.porter.adopt(entrance.number, entrance.sock, peer, self.loop.now - entrance.begun)


class _Entrance:
    """One of them: it reads the header, waits for the first octet behind it, then for the verdict."""

    def __init__(self, entrances: Entrances, number: int, sock: socket.socket, balancer: Peer) -> None:
        self.number = number
        self.sock = sock
        self.peer = balancer  #: until the header says otherwise
        self._entrances = entrances
        self._balancer = balancer
        self._loop = loop = entrances.loop
        self.begun = loop.now
        self._reader = HeaderReader()
        self._asked = False
        self._deadline = Deadline(loop, self._late)
        self._deadline.set(entrances.limit_s)
        self._fd = sock.fileno()
        loop.register(self._fd, IN, lambda _mask: self._ready())

    def leave(self) -> None:
        """Leave the loop; the socket is another's."""
        self._deadline.cancel()
        if not self._asked:
            self._loop.unregister(self._fd)

    def _ready(self) -> None:
        try:
            octets = self.sock.recv(_LOOK_OCTETS, socket.MSG_PEEK)
            if not octets:
                self._silent("closed")
            elif self._reader.header is None:
                self._read(octets)
            else:
                self._ask()
        except BlockingIOError:
            return
        except HeaderError as error:
            self._bad(str(error))
        except OSError as error:
            self._silent(str(lost(error)))

    def _read(self, octets: bytes) -> None:
        """Take what is the header's out of the socket, where it all lies."""
        taken = self._reader.receive(octets)
        self.sock.recv(taken)
        header = self._reader.header
        if header is None:
            return
        if header.source is not None:
            self.peer = Peer(*header.source)
        if taken < len(octets):
            self._ask()

    def _ask(self) -> None:
        """Have the acceptor process decide; nothing is read until it has."""
        self._asked = True
        self._loop.unregister(self._fd)
        server = self.sock.getsockname()
        self._entrances.porter.judge(self.number, self.peer, (str(server[0]), int(server[1])))

    def _silent(self, how: str) -> None:
        """End with a peer that is gone: one that has said nothing is none to speak of."""
        if self._reader.begun and self._reader.header is None:
            self._bad(f"it is {how} inside its header of the PROXY protocol")
            return
        _log.debug("connection of %s %s before anything was asked for", self.peer.name, how)
        self._entrances.close(self.number, "")

    def _late(self) -> None:
        if self._reader.header is None:
            begun = "does not end" if self._reader.begun else "does not come"
            self._bad(f"its header of the PROXY protocol {begun} in time")
        else:
            self._bad(f"no association request from {self.peer.name} in time")

    def _bad(self, why: str) -> None:
        with self._entrances.said.about(self._balancer.address):
            _log.error("closing a connection of %s: %s", self._balancer.name, why)
        self._entrances.close(self.number, why)
