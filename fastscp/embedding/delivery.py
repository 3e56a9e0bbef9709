"""Events on their way from the service to callbacks.

Strategy: a thread reads the socket into a mailbox as fast as it can; whoever delivers takes one event after another from there
and calls back. When callbacks are slower than what arrives, the mailbox fills, then the socket, then the buffer of the service
(``fastscp.coordinator.event_log``), which drops what has no room, counts it and says so here.

Invariants: callbacks run one at a time, in the order of the events, in the thread that delivers; what one of them raises is logged
and ends nothing; at most ``MOST_OCTETS`` octets of events wait here.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fastscp import jsontext
from fastscp.embedding import records
from fastscp.embedding.records import CompletedStudy, Refusal, StoredObject

log = logging.getLogger("fastscp")

MOST_OCTETS: Final = 16 * 1024 * 1024
DROPPED: Final = "events.dropped"
_RECEIVED_OCTETS: Final = 1 << 18
_BEGINNING: Final = b'{"schema":'


@dataclass(frozen=True)
class Callbacks:
    """Whom to call."""

    on_object: Callable[[StoredObject], object] | None = None
    on_study: Callable[[CompletedStudy], object] | None = None
    on_refused: Callable[[Refusal], object] | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """The events that are wanted; none where nobody is called."""
        wanted = frozenset[str]()
        for callback, kinds in ((self.on_object, records.OBJECTS), (self.on_study, records.STUDIES), (self.on_refused, records.REFUSALS)):
            if callback is not None:
                wanted |= frozenset(kinds)
        return wanted | {DROPPED} if wanted else wanted

    def call(self, event: Mapping[str, Any]) -> None:
        """Call whom an event concerns."""
        kind = event["event"]
        if kind in records.OBJECTS and self.on_object is not None:
            self.on_object(records.stored_object(event))
        elif kind in records.STUDIES and self.on_study is not None:
            self.on_study(records.completed_study(event))
        elif kind in records.REFUSALS and self.on_refused is not None:
            self.on_refused(records.refusal(event))


class Mailbox:
    """Lines that wait. Whoever puts one in waits while there is no room, whoever takes one while there is none."""

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        self._most = most_octets
        self._lines: deque[bytes] = deque()
        self._octets = 0
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, line: bytes) -> None:
        """Put a line in; one that is longer than all of the room has it for itself."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._lines or self._octets + len(line) <= self._most)
            if not self._closed:
                self._lines.append(line)
                self._octets += len(line)
                self._changed.notify_all()

    def end(self) -> None:
        """Say that there will be no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Throw away what is there, and what comes."""
        with self._changed:
            self._closed = True
            self._lines.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        """Take lines out, up to the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._ended or self._closed)
                if not self._lines:
                    return
                line = self._lines.popleft()
                self._octets -= len(line)
                self._changed.notify_all()
            yield line


class Delivery:
    """The events of one service: ``channel`` is where they arrive, and is owned from here on."""

    def __init__(self, channel: socket.socket, callbacks: Callbacks, *, most_octets: int = MOST_OCTETS) -> None:
        self._channel = channel
        self._callbacks = callbacks
        self._mailbox = Mailbox(most_octets)
        self.dropped = 0  #: events that the service dropped because nobody took them
        self.thread = 0  #: that callbacks run in, while they do
        threading.Thread(target=self._read, name="fastscp-events", daemon=True).start()

    def run(self) -> None:
        """Call back until there are no more events: until the service has ended."""
        self.thread = threading.get_ident()
        try:
            for line in self._mailbox:
                self._deliver(line)
        finally:
            self.thread = 0
            self._mailbox.close()

    def _read(self) -> None:
        rest = bytearray()
        with self._channel as channel:
            while octets := _received(channel):
                rest += octets
                *whole, rest = rest.split(b"\n")
                for line in whole:
                    self._mailbox.put(bytes(line))
        self._mailbox.end()

    def _deliver(self, line: bytes) -> None:
        event = _event(line)
        if event is None:
            self._missed(1)
        elif event["event"] == DROPPED:
            self._missed(event["count"])
        else:
            try:
                self._callbacks.call(event)
            except Exception:
                log.exception("a callback failed for %s", event["event"])

    def _missed(self, count: int) -> None:
        self.dropped += count
        log.warning("%d events are missing here: callbacks are slower than what arrives", count)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(_RECEIVED_OCTETS)
    except ConnectionResetError:
        return b""


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line; one that a dying process began may stand in front of it. None: it cannot be read."""
    whole = line[max(line.rfind(_BEGINNING), 0):]
    try:
        event: dict[str, Any] = jsontext.loads(whole)
    except orjson.JSONDecodeError:
        return None
    return event
