"""Leaves the state to another coordinator, while the hooks that run here come to their ends.

Strategy: everything is taken over that was told, every hook that has not ended is put into the state, what is durable is
answered, and the state is closed. From then on this process only sees its hooks end, tells that, and ends with the last.

Invariants: nothing is handed over that only memory has. Afterwards the state is not touched.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.rounds import Commits
from fastscp.coordinator.sessions import Sessions
from fastscp.coordinator.tasks import Lanes
from fastscp.log.names import APPLICATION
from fastscp.process import packets
from fastscp.study.state import HookState

_log = logging.getLogger(APPLICATION)

#: hooks that run, at most: their numbers fit a packet
MOST_LENT = 2000


class HandingOver:
    """The way out of the service. ``changed`` is called when it may be time to end."""

    def __init__(self, control: socket.socket, state: HookState, lanes: Lanes, sessions: Sessions, backlog: Backlog,
                 dispatcher: Dispatcher, commits: Commits, changed: Callable[[], None]) -> None:
        self.done = False  #: the state is another's
        self._control = control
        self._state = state
        self._lanes = lanes
        self._sessions = sessions
        self._backlog = backlog
        self._dispatcher = dispatcher
        self._commits = commits
        self._changed = changed

    def attempt(self) -> None:
        """Hand over, or say that it cannot be."""
        self._sessions.read_all()
        self._backlog.keep_all()
        only_in_memory = self._lanes.pending and self._state.directory is None
        if only_in_memory or self._dispatcher.borrowed.waiting or len(self._dispatcher.running) > MOST_LENT or not self._commits.commit():
            self._tell({"kind": "unable"})
            return
        running = self._dispatcher.lend(self._tell_end)
        self._state.commit()
        self._sessions.answers.send()
        for incarnation, event, unanswered in self._sessions.leave():
            if unanswered or self._state.directory is not None:  # who gets no answer tells the event again
                self._state.note_event(incarnation, event)
        self._state.close()
        self.done = True
        self._tell({"kind": "handed_over", "hooks": running})
        self._changed()

    @property
    def over(self) -> bool:
        """Whether the state is another's, and no hook runs here any more."""
        return self.done and not self._dispatcher.running

    def _tell_end(self, number: int, status: int) -> None:
        self._tell({"kind": "hook_ended", "number": number, "status": status})
        self._changed()

    def _tell(self, packet: packets.ControlPacket) -> None:
        """Tell the acceptor process; one that is gone need not know."""
        try:
            self._control.send(packets.encode(packet))
        except (BrokenPipeError, ConnectionResetError):
            _log.debug("nobody hears of %s", packet["kind"])
