"""What the acceptor process tells the event stream: connections that it turned away.

Strategy: it has an event channel to the coordinator like a worker's, apart from the control channel, so that a flood
of refused connections never stands in the way of an order. What the channel does not take now waits, a bounded
number of notes; further ones are counted, and the count follows as soon as there is room.

Invariant: nothing here ever waits for the coordinator. Where nobody reads events there is no channel and no note.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable

from fastscp.acceptor.measures import Measures
from fastscp.net.peer import Peer
from fastscp.process import fdpass, packets
from fastscp.process.loop import OUT, Loop

MOST_NOTES = 1000  #: that wait
NAME = "acceptor"


class Notices:
    """Notes on their way. ``introduce`` gives the coordinator its end of a new channel; it may raise OSError."""

    def __init__(self, loop: Loop, introduce: Callable[[str, int], None], *, wanted: bool,
                 measures: Measures | None = None) -> None:
        self._loop = loop
        self._introduce = introduce
        self._wanted = wanted
        self._measures = measures
        self._channel: socket.socket | None = None
        self._watching = False
        self._notes: deque[bytes] = deque()
        self._missed = 0  #: dropped behind those that wait

    def connect(self) -> None:
        """Make a channel to a coordinator that is ready; what waits is told to it. OSError passes through."""
        if not self._wanted:
            return
        self._disconnect()
        ours, theirs = fdpass.channel_pair()
        try:
            self._introduce(NAME, theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = ours
        self._flush()

    def turned_away(self, peer: Peer, reason: str) -> None:
        """Tell that a connection was closed before anything was read from it."""
        if self._measures is not None:
            self._measures.turned_away(peer, reason)
        if not self._wanted:
            return
        if len(self._notes) >= MOST_NOTES:
            self._missed += 1
            return
        self._notes.append(packets.encode(packets.turned_away(peer.address, peer.name, peer.port, reason)))
        self._flush()

    def sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        if self._channel is not None:
            yield self._channel

    def close(self) -> None:
        """Close the channel; what it has is read by the coordinator."""
        self._disconnect()

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._watch(on=False)
            self._channel.close()
            self._channel = None

    def _flush(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            while self._notes or self._missed:
                if self._notes:
                    channel.send(self._notes[0])
                    self._notes.popleft()
                else:
                    channel.send(packets.encode({"kind": "missed", "count": self._missed}))
                    self._missed = 0
        except BlockingIOError:
            self._watch(on=True)
        except (BrokenPipeError, ConnectionResetError):
            self._disconnect()  # the next coordinator gets what waits
        else:
            self._watch(on=False)

    def _watch(self, *, on: bool) -> None:
        if on != self._watching and self._channel is not None:
            self._watching = on
            if on:
                self._loop.register(self._channel.fileno(), OUT, lambda _mask: self._flush())
            else:
                self._loop.unregister(self._channel.fileno())
