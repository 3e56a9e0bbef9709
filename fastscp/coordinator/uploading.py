"""The coordinator's part in an object store: the process that uploads, what it has done, and the files that may go.

Strategy: the process (``fastscp.objects.program``) reads the journal beside this one and says what the store has; that is written down in
the round that follows. It is started again when it dies, and ends with its channel, so with this process.

Invariant: nobody waits for it. While the store is away the journal grows, as the files do, until ``--min-free``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastscp.coordinator.companion import Start, Tended, start_program
from fastscp.coordinator.retention import Retention
from fastscp.coordinator.upload_journal import UploadJournal
from fastscp.process.loop import Loop

LOOK_S = 1.0
_END_S = 6.0  #: the process gets to end by itself
_MORE_S = 0.001  #: between two turns of what may go, for a look at the channels
_PROGRAM = partial(start_program, module="fastscp.objects.program")


@dataclass(frozen=True)
class StoreState:
    """What is known of the store."""

    away: bool = True
    objects: int = 0  #: that it does not have yet
    octets: int = 0
    unreadable: int = 0  #: of these, whose files cannot be read


class Uploading:
    """The process, its ``journal``, and the ``retention`` of what is uploaded. ``begin`` is what the process is told first.

    ``changed`` has a round made.
    """

    def __init__(self, loop: Loop, journal: UploadJournal, retention: Retention, begin: Mapping[str, Any], start: Start = _PROGRAM) -> None:
        self.journal = journal
        self.retention = retention
        self.changed: Callable[[], None] = lambda: None
        self.state = StoreState()
        self.uploaded = 0  #: files, since this process began
        self.uploaded_octets = 0
        self._loop = loop
        self._wall = retention.wall
        self._looking = False
        self._ended = False
        self._process = Tended(loop, start, "the object store", begin, heard=self._hear, lost=self._lost, end_s=_END_S)

    def begin(self) -> None:
        """Start the process, and look for files that may go."""
        self._process.launch()
        self._look()

    def _look(self) -> None:
        if not self._ended:
            self.retention.look()
            self._go_on()
            self._loop.call_later(LOOK_S, self._look)

    def _go_on(self) -> None:
        if not self._looking and not self._ended:
            self._looking = True
            self.changed()

    def committed(self) -> None:
        """Do some of what may be done while everything is in the state; another round commits that."""
        if not self._looking or self._ended:
            return
        self._looking = False
        if self.retention.turn():
            self._loop.call_later(_MORE_S, self._go_on)
        self.changed()

    def _hear(self, packet: dict[str, Any]) -> None:
        if packet["kind"] == "confirmed":
            if self.journal.confirmed(packet["number"], packet["identity"], packet["key"]):
                self.uploaded += 1
                self.uploaded_octets += packet["size"]
                self.changed()
        elif packet["kind"] == "written":
            self.journal.rows.written(packet["part"], self._wall())
            self.changed()
        else:
            self.state = StoreState(packet["away"], packet["objects"], packet["octets"], packet["unreadable"])

    def _lost(self) -> None:
        self.state = StoreState(True, self.state.objects, self.state.octets, self.state.unreadable)

    def end(self) -> None:
        """Have the process end: what it has not done is for the next."""
        self._ended = True
        self._process.end()
