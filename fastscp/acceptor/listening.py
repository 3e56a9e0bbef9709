"""Accepts connections, as long as somebody has room for them.

Strategy: the listening sockets are watched while connections are wanted; else they wait in the kernel's queue. A system that
has nothing to give is left alone for a moment.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable

from fastscp.acceptor.pool import AcceptedConnection
from fastscp.log.names import NETWORK
from fastscp.net.peer import peer_at
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(NETWORK)

_PAUSE_WHEN_EXHAUSTED_S = 0.1
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listening:
    """The listening sockets. Owns them.

    ``wanted`` tells whether there is room, ``admit`` takes a connection.
    """

    def __init__(self, loop: Loop, listeners: Iterable[socket.socket], wanted: Callable[[], bool],
                 admit: Callable[[AcceptedConnection], None]) -> None:
        self.sockets = list(listeners)
        self._loop = loop
        self._wanted = wanted
        self._admit = admit
        self._listening = False
        self._pausing = False
        self._exhausted = False  #: there was nothing left for the last connection that came

    def update(self) -> None:
        """Listen while there is room for another association."""
        wanted = not self._pausing and self._wanted()
        if wanted == self._listening:
            return
        self._listening = wanted
        for listener in self.sockets:
            if wanted:
                self._loop.register(listener.fileno(), IN, lambda _mask, sock=listener: self._accept(sock))  # type: ignore[misc]
            else:
                self._loop.unregister(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        """Take one connection. Not a loop: epoll reports the next, and an accept that finds none is a wasted call."""
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._accept_failed(error)
            return
        self._exhausted = False
        sock.setblocking(False)
        self._admit(AcceptedConnection(sock, peer_at(address)))
        self.update()

    def _accept_failed(self, error: OSError) -> None:
        """Go on after a connection that died in the queue; pause when the system has no more to give."""
        if error.errno not in _OUT_OF_RESOURCES:
            _log.info("connection lost before it was accepted: %s", error)
            return
        if not self._exhausted:  # once, until a connection was accepted again
            self._exhausted = True
            _log.error("cannot accept: %s; trying again", error)
        self._pausing = True
        self.update()
        self._loop.call_later(_PAUSE_WHEN_EXHAUSTED_S, self._resume)

    def _resume(self) -> None:
        self._pausing = False
        self.update()

    def close(self) -> None:
        """Listen no more: whoever connects is refused."""
        self.update()
        for listener in self.sockets:
            listener.close()
        self.sockets.clear()
