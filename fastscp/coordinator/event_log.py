"""Writes the event stream to its destination, and never blocks.

Strategy: lines wait in a buffer of at most ``LIMIT_OCTETS``; each round of the loop writes what the destination
takes. When it takes no more, the loop watches it, and nothing is tried until it does. When the buffer is full, new events
are counted and dropped, and an ``events.dropped`` event tells how many as soon as there is room (ADR 15). A destination that
was lost is opened again every second; a new reader of a socket begins with the line that was cut.
"""

from __future__ import annotations

import errno
import logging
import select
import time
from collections import deque
from collections.abc import Callable, Container

import orjson

from fastscp import jsontext
from fastscp.coordinator.destination import Destination
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process.loop import OUT, Loop, Timer
from fastscp.study import event_types, events

_log = logging.getLogger(APPLICATION)

LIMIT_OCTETS = 16 * 1024 * 1024
RETRY_S = 1.0
MOST_LINGER_S = 5.0  #: in all
_PIECE_OCTETS = 262144


class EventLog:
    """The buffer before the destination, which it owns. Raises ``ProcessError`` when that cannot be opened.

    ``kinds`` are the events that are wanted there; None: all of them.
    """

    def __init__(self, destination: Destination, loop: Loop, *, limit_octets: int = LIMIT_OCTETS,
                 kinds: Container[str] | None = None, wall: Callable[[], float] = time.time) -> None:
        self._destination = destination
        self._loop = loop
        self._limit = limit_octets
        self._kinds = kinds
        self._wall = wall
        self._lines: deque[bytes] = deque()
        self._octets = 0
        self._head_written = 0  #: octets of the first line that were written
        self._dropped = 0
        self.dropped_ever = 0
        self._watching = False
        self._retry: Timer | None = None
        self._complained = False
        try:
            destination.open()
        except OSError as error:
            if error.errno not in {errno.ECONNREFUSED, errno.EAGAIN}:
                raise ProcessError(f"{destination.name} cannot be opened: {error.strerror}") from error
            self._lost(error)

    def put(self, event: event_types.Event) -> None:
        """Take one event; ``flush`` writes it."""
        if self._kinds is not None and event["event"] not in self._kinds:
            return
        if self._dropped and self._octets < self._limit // 2:
            dropped, self._dropped = self._dropped, 0
            self._append(events.events_dropped(self._wall(), dropped))
        if self._octets >= self._limit:
            self._dropped += 1
            self.dropped_ever += 1
            return
        self._append(event)

    def _append(self, event: event_types.Event) -> None:
        # a copy: what orjson returns may take ten times the memory of what is in it
        line = bytes(memoryview(jsontext.dumps(event, orjson.OPT_APPEND_NEWLINE)))
        self._lines.append(line)
        self._octets += len(line)

    @property
    def waiting_octets(self) -> int:
        """Octets that the destination has not taken."""
        return self._octets - self._head_written

    def flush(self) -> None:
        """Write what the destination takes, unless it said that it takes nothing now."""
        if not self._watching:
            self._write()

    def _write(self) -> None:
        if self._destination.fd < 0 or self._retry is not None:
            return
        try:
            while self._lines:
                self._remove(self._destination.write(self._next_piece()))
        except BlockingIOError:
            self._watch(on=True)
            return
        except OSError as error:
            self._lost(error)
            return
        self._complained = False
        self._watch(on=False)

    def reopen(self) -> None:
        """Open the destination anew, after its file was moved away."""
        if not self._destination.is_path:
            return
        self._close()
        try:
            self._destination.open()
        except OSError as error:
            self._lost(error)
        self.flush()

    def close(self) -> None:
        """Write what can be written at once, or while the destination lingers, and close."""
        self._write()
        self._linger()
        if self._lines:
            _log.warning("%s: %d events were not written", self._destination.name, len(self._lines))
        self._close()

    def _linger(self) -> None:
        """Go on as long as a destination that is worth waiting for takes something."""
        end = time.monotonic() + MOST_LINGER_S
        while self._lines and self._destination.fd >= 0:
            wait_s = min(self._destination.linger_s, end - time.monotonic())
            if wait_s <= 0 or not _takes_more(self._destination.fd, wait_s):
                return
            self._write()

    # -- writing ----------------------------------------------------------------------------------

    def _next_piece(self) -> bytes:
        head = self._lines[0][self._head_written :]
        if len(self._lines) == 1:
            return head
        pieces, size = [head], len(head)
        for index in range(1, len(self._lines)):
            if size >= _PIECE_OCTETS:
                break
            pieces.append(self._lines[index])
            size += len(self._lines[index])
        return b"".join(pieces)

    def _remove(self, written: int) -> None:
        written += self._head_written
        while self._lines and written >= len(self._lines[0]):
            line = self._lines.popleft()
            written -= len(line)
            self._octets -= len(line)
        self._head_written = written

    def _watch(self, *, on: bool) -> None:
        if on != self._watching:
            self._watching = on
            if on:
                self._loop.register(self._destination.fd, OUT, lambda _mask: self._write())
            else:
                self._loop.unregister(self._destination.fd)

    # -- opening ----------------------------------------------------------------------------------

    def _close(self) -> None:
        self._watch(on=False)
        self._destination.close()

    def _lost(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("%s: %s, trying again", self._destination.name, error.strerror)
        self._close()  # what has no reader would be ready all the time
        if self._destination.is_socket:
            self._head_written = 0
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._destination.fd < 0:
            try:
                self._destination.open()
            except OSError as error:
                self._lost(error)
                return
        self.flush()


def _takes_more(fd: int, wait_s: float) -> bool:
    """Whether a descriptor takes something within some seconds; one that was lost takes an error."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(wait_s * 1000))
