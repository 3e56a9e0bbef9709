"""The coordinator's part in a fleet: the process that ships the journal, and what it says of it.

Strategy: the process (``fastscp.fleet.program``) reads the journal beside this one; a few times a second it gets a *pulse*, which
says that everything that was received until then is in the journal. It says how far the database is, and the entries up to there are
dropped. It is started again when it dies, and ends with its channel, so with this process.

Invariant: nobody waits for it. While the database is away the journal grows; when that is full objects have to wait.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastscp.coordinator.companion import Companion, Start, start_program
from fastscp.coordinator.fleet_journal import MOST_WAITING, FleetJournal
from fastscp.coordinator.rules import AllRules
from fastscp.coordinator.valve import Valve
from fastscp.log.names import APPLICATION
from fastscp.process.loop import Loop, Timer

_log = logging.getLogger(APPLICATION)

PULSE_S = 0.25
MARGIN_S = 0.5  #: what a worker has answered is told to this process by then
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0  #: before it is started again
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
        self._companion = Companion(loop, start, "the fleet", heard=self._hear, lost=self._lost)
        self._pause_s = _FIRST_PAUSE_S
        self._timer: Timer | None = None
        self._due = False  #: a pulse
        self._ended = False

    def begin(self) -> None:
        """Start the process, and go on with pulses."""
        self._launch()
        self._beat()

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on; a process that does not listen is replaced by one that knows them."""
        self._begin["hooks"] = hooks_of(rules)
        if not self._companion.tell({"kind": "hooks", "hooks": self._begin["hooks"]}):
            self._forget()

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
            self._companion.tell({"kind": "pulse", "number": self.journal.last, "at": self._loop.now - MARGIN_S})

    # -- the process ------------------------------------------------------------------------------

    def _launch(self) -> None:
        self._timer = None
        if self._ended or self._companion.connected:
            return
        self._reap()
        if not self._companion.launch(self._begin):
            self._launch_later()

    def _launch_later(self) -> None:
        if not self._ended and self._timer is None:
            self._timer = self._loop.call_later(self._pause_s, self._launch)
            self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def _hear(self, packet: dict[str, Any]) -> None:
        self.connected = packet["connected"]
        self._pause_s = _FIRST_PAUSE_S
        if self.journal.shipped(packet["number"]):
            self.changed()

    def _lost(self) -> None:
        if not self._ended:
            _log.error("the process for the fleet ended, starting another")
        self._forget()

    def _forget(self) -> None:
        self.connected = False
        if self._companion.connected:
            self._companion.leave()
            self._launch_later()

    def _reap(self) -> None:
        """Collect a process that has ended; one that has not may go on: it ships the same entries, once."""
        process = self._companion.process
        if process is not None and process.poll() is not None:
            self._companion.process = None

    def end(self) -> None:
        """Have the process ship what is left, and end."""
        if self._ended:
            return
        self._ended = True
        if self.for_good:
            self._companion.tell({"kind": "leave"})
        self._forget()
        process, self._companion.process = self._companion.process, None
        if process is not None:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                _log.warning("the process for the fleet is still busy, and is left alone")


def hooks_of(rules: AllRules) -> dict[str, dict[str, Any]]:
    """Return the end-of-study hook of each section, as the process is told."""
    return {sender: {"command": own.hooks.on_end_of_study, "argv": own.hooks.argv} for sender, own in rules.by_sender.items()}
