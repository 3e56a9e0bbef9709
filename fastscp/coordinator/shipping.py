"""The coordinator's part in a fleet: the process that ships the journal, and what it says of it.

Strategy: the process (``fastscp.fleet.program``) reads the journal beside this one; a few times a second it gets a *pulse*, which
says that everything that was received until then is in the journal. It says how far the database is, and the entries up to there are
dropped. It is started again when it dies, and ends with its channel, so with this process.

Invariant: nobody waits for it. While the database is away the journal grows; when that is full objects have to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastscp.coordinator.companion import Start, Tended, start_program
from fastscp.coordinator.fleet_journal import MOST_WAITING, FleetJournal
from fastscp.coordinator.rules import AllRules
from fastscp.coordinator.valve import Valve
from fastscp.process.loop import Loop

PULSE_S = 0.25
MARGIN_S = 0.5  #: what a worker has answered is told to this process by then
_END_S = 6.0  #: it gets to end by itself
_PROGRAM = partial(start_program, module="fastscp.fleet.program")


class Shipping:
    """The process and its channel. ``begin`` is what it is told first, ``watched`` hears whether the database is there.

    ``changed`` is called when the state is to be committed, ``caught_up`` tells whether everything was read that workers have told.
    """

    def __init__(self, loop: Loop, journal: FleetJournal, begin: Mapping[str, Any], start: Start = _PROGRAM) -> None:
        self.journal = journal
        self.changed: Callable[[], None] = lambda: None
        self.caught_up: Callable[[], bool] = lambda: True
        self.connected = False
        self.for_good = False  #: no study is left open here at the end
        self.valve = Valve(MOST_WAITING, "entries of the fleet's journal")
        self._loop = loop
        self._begin = dict(begin)
        self._process = Tended(loop, start, "the fleet", self._begin, heard=self._hear, lost=self._lost, end_s=_END_S)
        self._due = False  #: a pulse
        self._ended = False

    def begin(self) -> None:
        """Start the process, and go on with pulses."""
        self._process.launch()
        self._beat()

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on; a process that does not listen is replaced by one that knows them."""
        self._begin["hooks"] = hooks_of(rules)
        if not self._process.tell({"kind": "hooks", "hooks": self._begin["hooks"]}):
            self.connected = False
            self._process.replace()

    def _beat(self) -> None:
        if self._ended:
            return
        self._due = True
        self.changed()
        self._loop.call_later(PULSE_S, self._beat)

    def committed(self) -> None:
        """Take note that everything is in the state that was read until this round."""
        if self._due and self.caught_up():
            self._due = False
            self._process.tell({"kind": "pulse", "number": self.journal.last, "at": self._loop.now - MARGIN_S})

    def _hear(self, packet: dict[str, Any]) -> None:
        self.connected = packet["connected"]
        if self.journal.shipped(packet["number"]):
            self.changed()

    def _lost(self) -> None:
        self.connected = False

    def end(self) -> None:
        """Have the process ship what is left, and end."""
        if self._ended:
            return
        self._ended = True
        if self.for_good:
            self._process.tell({"kind": "leave"})
        self.connected = False
        self._process.end()


def hooks_of(rules: AllRules) -> dict[str, dict[str, Any]]:
    """Return the end-of-study hook of each section, as the process is told."""
    return {sender: {"command": own.hooks.on_end_of_study, "argv": own.hooks.argv} for sender, own in rules.by_sender.items()}
