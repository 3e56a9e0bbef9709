"""Whose turn it is to accept connections: ours, that of the process we follow, or that of one that follows us.

Strategy: a process that follows another starts with its workers, and with its coordinator when the state is free; it accepts
when it is told to, or when it is alone. One that has a successor keeps its workers until their associations end, and its
listening sockets open, unwatched, until then: should the successor end before, it goes on as if nothing had been.

Invariants: connections that were accepted here are served here. A process ends after those that use its coordinator.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from fastscp.acceptor.policy import AcceptorPolicy, Bequest
from fastscp.acceptor.pool import Pool
from fastscp.acceptor.predecessor import Predecessor
from fastscp.acceptor.successor import Successor
from fastscp.acceptor.supervisor import Supervisor
from fastscp.acceptor.watch import PATIENCE
from fastscp.log.names import APPLICATION
from fastscp.process.child import Processes
from fastscp.process.loop import Loop

_log = logging.getLogger(APPLICATION)


class Acceptor(Protocol):
    """What the acceptor process does, and knows, about it."""

    def estate(self) -> Bequest:
        """Return what a successor inherits."""

    @property
    def goes_down(self) -> bool:
        """Whether this process is to end."""

    def untaken(self) -> int:
        """Return how many connections are accepted that no worker has taken."""

    def look_again(self) -> None:
        """Accept connections or not, and end if there is nothing left to do here."""

    def connect_notices(self) -> None:
        """Tell a coordinator what only this process knows."""

    def serve(self) -> None:
        """Start as many workers as there are to be, and say so when they are up."""

    def reload(self) -> None:
        """Read files again."""

    def terminate(self) -> None:
        """Drain; the second time end at once."""

    def stop_now(self) -> None:
        """End at once."""


class Succession:
    """The processes before and behind this one. ``notify`` tells the service manager."""

    def __init__(self, acceptor: Acceptor, loop: Loop, processes: Processes, pool: Pool, supervisor: Supervisor, *,
                 policy: AcceptorPolicy, predecessor: Predecessor | None, start_program: Callable[[socket.socket], int],
                 notify: Callable[..., bool]) -> None:
        self._acceptor = acceptor
        self._loop = loop
        self._pool = pool
        self._supervisor = supervisor
        self._notify = notify
        self._tells_open = policy.max_associations is not None
        self._told_open = 0
        self._predecessor = predecessor
        limit_s = policy.hang_timeout_s
        self._successor = Successor(loop, processes, self, start=start_program, take_s=limit_s,
                                    prepare_s=None if limit_s is None else PATIENCE * limit_s, own_pid=os.getpid())
        self._serving = predecessor is None
        self._prepared = False  #: the predecessor knows that our workers are up
        self._retired = False  #: our workers end with their last association
        self.away = False  #: a successor serves
        supervisor.coordination.has_predecessor = predecessor is not None

    @property
    def our_turn(self) -> bool:
        """Whether connections are accepted here."""
        return self._serving and not self.away

    @property
    def open_elsewhere(self) -> int:
        """How many connections are still open at the predecessor's."""
        return 0 if self._predecessor is None else self._predecessor.open_count

    @property
    def is_needed(self) -> bool:
        """Whether a predecessor still uses our coordinator, and cannot go on without it."""
        return self._serving and self._has_predecessor

    @property
    def _has_predecessor(self) -> bool:
        return self._predecessor is not None and self._predecessor.present

    def sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        yield from self._successor.sockets()
        if self._predecessor is not None:
            yield from self._predecessor.sockets()

    def close(self) -> None:
        """Give back what is left."""
        self._successor.close()
        self.forget_predecessor()

    # -- a predecessor ----------------------------------------------------------------------------

    def follow(self) -> bool:
        """Begin as a successor; False where there is nobody to follow."""
        if self._predecessor is None:
            return False
        _log.info("taking over from process %d", self._predecessor.inheritance.pid)
        self._predecessor.listen(self._loop, self)
        self._acceptor.serve()
        return True

    def workers_are_up(self) -> None:
        """Take note that there are as many workers as there are to be."""
        if self._predecessor is not None and not self._prepared:
            self._prepared = True
            self._predecessor.tell({"kind": "prepared"})

    def coordinator_is_ready(self) -> None:
        """Let the predecessor use a coordinator that has recovered."""
        control = self._supervisor.coordination.take_guest_end()
        if self._predecessor is None:
            return
        if control is not None:
            with control:
                self._predecessor.tell({"kind": "control"}, control.fileno())
        self._predecessor.tell({"kind": "ready"})

    def take(self, for_guest: socket.socket) -> None:
        """Start the coordinator: the state is free. ``for_guest`` is its end of a channel to the predecessor."""
        self._supervisor.coordination.for_guest = for_guest
        self._supervisor.launch_coordinator()

    def serve(self) -> None:
        """Accept connections from here on."""
        if not self._has_predecessor:
            _log.warning("the process to take over from is gone")
            self._supervisor.launch_coordinator()
        self._serving = True
        self._acceptor.look_again()

    def reload(self) -> None:
        """Read files again."""
        self._acceptor.reload()

    def step_back(self) -> None:
        """End, as if nothing had been; the predecessor goes on."""
        _log.info("process %d does not give way", 0 if self._predecessor is None else self._predecessor.inheritance.pid)
        self._acceptor.stop_now()

    def predecessor_changed(self) -> None:
        """Look again at what the predecessor still has open, and whether it is there."""
        self._supervisor.coordination.has_predecessor = self._has_predecessor
        self._acceptor.look_again()

    def tell_predecessor(self, kind: str) -> None:
        """Have it ``drain``, or ``stop``."""
        if self._predecessor is not None:
            self._predecessor.tell({"kind": "drain" if kind == "drain" else "stop"})

    def forget_predecessor(self) -> None:
        """Wait for it no more."""
        if self._predecessor is not None:
            self._predecessor.forget()

    # -- a successor ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the installed program and let it take over."""
        if self.away or self._successor.present:
            _log.warning("another program takes over already: process %d", self._successor.pid)
        elif self._acceptor.goes_down:
            _log.warning("no other program can take over: this one is about to end")
        elif not self._serving or self.is_needed:
            _log.error("no other program can take over yet: process %d has not ended its associations",
                       0 if self._predecessor is None else self._predecessor.inheritance.pid)
        elif not self._supervisor.coordination.was_ready:
            _log.error("no other program can take over yet: this one is about to start")
        elif self._successor.begin():
            self._notify("RELOADING=1")

    def reload_successor(self) -> None:
        """Have a successor read files again that it may have read already."""
        self._successor.reload()

    def reap(self) -> None:
        """Take note if a successor has ended."""
        self._successor.reap()

    def cancel(self) -> None:
        """Go down ourselves: whoever was to take over is not to."""
        if not self.away:
            self._successor.cancel()
            self._supervisor.coordination.take_back()

    def inheritance(self) -> Bequest:
        """Return what a successor inherits."""
        return self._acceptor.estate()

    def release(self, done: Callable[[], None], unable: Callable[[], None]) -> None:
        """Have the coordinator give up the state, and call ``done``, or ``unable`` when it keeps it."""
        self._supervisor.coordination.release(done, unable)

    def coordinator_is_there(self) -> None:
        """Tell the successor's coordinator everything: it has recovered."""
        self._supervisor.coordination.connect_borrowed()
        self._acceptor.connect_notices()

    def give_way(self, pid: int) -> None:
        """Accept nothing more: the successor does."""
        _log.info("process %d has taken over, %d associations end here", pid, self._pool.open_count)
        self._notify(f"MAINPID={pid}")
        self.away = True
        self._acceptor.look_again()

    def use_coordinator(self, control: socket.socket) -> None:
        """Use the coordinator of the successor, once it has recovered."""
        self._supervisor.coordination.borrow(control)

    def look(self) -> None:
        """While a successor serves, let the workers go when all that was accepted is with them; call it at every change."""
        if not self.away:
            return
        if not self._retired and not self._acceptor.untaken():
            self._retired = True
            self._supervisor.retire()
        if self._tells_open and self._pool.open_count != self._told_open:
            self._told_open = self._pool.open_count
            self._successor.tell_open(self._told_open)

    def go_on(self) -> None:
        """Serve, with a coordinator of our own: there is no successor any more."""
        self._supervisor.coordination.take_back()
        if self._acceptor.goes_down:
            return
        was_away, self.away, self._retired, self._told_open = self.away, False, False, 0
        if was_away:
            _log.warning("serving again in its place")
            self._supervisor.resume()
        self._acceptor.serve()

    def end_associations(self, *, at_once: bool) -> None:
        """Drain, or stop: the successor was told so."""
        if at_once:
            self._acceptor.stop_now()
        else:
            self._acceptor.terminate()
