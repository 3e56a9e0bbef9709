"""Forks, watches and replaces the worker processes and the coordinator.

Strategy: children are forked from the acceptor process, which opens no thread and holds no DICOM state.
Each child closes what belongs to others, so that end of file on a channel means that the process behind
it died. A child that dies at once, again and again, is replaced ever more slowly; one
that hangs (``fastscp.acceptor.watch``) is killed, and what it had not taken goes to others before that.

Invariants: a dead worker gives back what it had not taken, after everything it had said was read; while the
service goes down no worker is replaced, a coordinator only as long as a worker may have something to tell it.
What it does not do: know what a worker or a coordinator is (``policy.Children``).
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable

from fastscp.acceptor.backoff import (
    LONGEST_DELAY_S,
    LONGEST_OF_COORDINATOR_S,
    LONGEST_WITHOUT_FAULT_S,
    SHORT_LIFE_S,
    Backoff,
    describe_exit,
    longest_delay,
)
from fastscp.acceptor.coordination import Coordination
from fastscp.acceptor.event_channels import EventChannels
from fastscp.acceptor.measures import Measures
from fastscp.acceptor.monitoring import TITLE as MONITOR
from fastscp.acceptor.monitoring import Monitoring
from fastscp.acceptor.policy import Children, WorkerStart
from fastscp.acceptor.pool import Pool, WorkerSlot
from fastscp.acceptor.renewal import Renewal
from fastscp.acceptor.watch import TICK_S, Watch
from fastscp.log.names import NETWORK
from fastscp.net.systemd import hide_from_children
from fastscp.process import fdpass, packets
from fastscp.process.child import Closeable, Processes
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(NETWORK)

#: their places among the indexes of workers
_COORDINATOR = -1
_MONITOR = -2


class Supervisor:
    """Owns every child of the acceptor process."""

    def __init__(self, children: Children, processes: Processes, loop: Loop, pool: Pool,
                 own_sockets: Callable[[], Iterable[socket.socket]], *,
                 on_ready: Callable[[], None], on_start_failure: Callable[[], None],
                 on_look: Callable[[], None] = lambda: None, on_renewed: Callable[[], None] = lambda: None,
                 watch: Watch | None = None, measures: Measures | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._children = children
        self._processes = processes
        self._loop = loop
        self._pool = pool
        self._clock = clock
        self._own_sockets = own_sockets
        self._on_start_failure = on_start_failure
        self._on_look = on_look
        self.coordination = Coordination(loop, children.coordinator, self._start, on_connected=self._connect_all,
                                         on_ready=on_ready, on_vacant=self._fill_vacancy)
        self.monitoring = Monitoring(children.monitor, self._start)
        self._measures = measures
        self._event_channels = EventChannels(loop, pool, self.introduce, lambda: self.coordination.takes_workers)
        self._born: dict[int, float] = {}
        self._backoffs: dict[int, Backoff] = {}
        self._watch = watch or Watch(None)
        self._looked = 0.0  #: when the children were looked at, monotonic seconds
        self.renewal = Renewal(loop, pool, self.start_worker, on_renewed)
        self._replacing = True  #: False once the service goes down

    # -- starting ---------------------------------------------------------------------------------

    def start_coordinator(self) -> None:
        """Start the coordinator process."""
        self.coordination.start()

    def launch_coordinator(self) -> None:
        """Start the coordinator as soon as the system has what it needs, unless there is one."""
        self._attempt(_COORDINATOR, self.start_coordinator, self._needs_coordinator)

    def _connect_all(self) -> None:
        self._event_channels.connect_all()

    def _fill_vacancy(self) -> None:
        """Start a coordinator at once, no matter how long it was to be waited for."""
        self._replace(_COORDINATOR, SHORT_LIFE_S, self.start_coordinator, self._needs_coordinator)

    def launch_monitor(self) -> None:
        """Start the monitor, where there is to be one, as soon as the system has what it needs."""
        self._attempt(_MONITOR, self.monitoring.start, lambda: self.monitoring.missing)

    def renew(self) -> None:
        """Replace the workers, and tell the monitor, after a reload."""
        self.renewal.begin()
        self.monitoring.renew()

    def launch_worker(self, index: int) -> None:
        """Start worker ``index`` as soon as the system has what it needs."""
        self._attempt(index, lambda: self.start_worker(index), lambda: self._replacing)

    def start_worker(self, index: int, predecessor: int = 0) -> None:
        """Start worker ``index`` and connect it to the coordinator; ``predecessor`` is the pid it replaces."""
        ours, theirs = fdpass.channel_pair()

        def run(heartbeat: Heartbeat) -> int:
            return self._children.worker(WorkerStart(index, theirs, predecessor, heartbeat))

        try:
            pid = self._start(run, f"worker {index + 1}", ours)
        except OSError:
            theirs.close()
            raise
        slot = WorkerSlot(index, pid, ours, theirs, generation=self.renewal.generation)
        self._loop.register(ours.fileno(), IN, lambda _mask: self._pool.read(slot))
        self._pool.add(slot)
        self._event_channels.connect(slot)

    def _start(self, run: Callable[[Heartbeat], int], title: str, ours: socket.socket) -> int:
        """Start a child that has no descriptor of the others; only its own end of a channel stays open in it."""
        try:
            heartbeat = Heartbeat()
        except OSError:
            ours.close()
            raise
        belonging: list[Closeable] = [self._loop, ours, *self._own_sockets(), *self._pool.inherited_sockets(),
                                      *self.coordination.sockets(), *self.monitoring.sockets()]

        def run_unnoticed() -> int:
            hide_from_children()
            return run(heartbeat)

        try:
            pid = self._processes.start(run_unnoticed, title=title, close=belonging)
        except OSError:
            ours.close()
            heartbeat.close()
            raise
        self._born[pid] = self._clock()
        self._watch.add(pid, heartbeat)
        if self._measures is not None:
            self._measures.started(title)
        return pid

    def introduce(self, name: str, descriptor: int) -> None:
        """Give the coordinator its end of an event channel. Raises OSError when it cannot take it."""
        self.coordination.introduce(name, descriptor)

    # -- watching ---------------------------------------------------------------------------------

    def watch(self) -> None:
        """Look at the children from now on: whoever hangs is killed, and its work goes to others at once."""
        self._looked = self._clock()
        self._loop.call_later(TICK_S, self._look)

    def _look(self) -> None:
        elapsed_s = self._clock() - self._looked
        beating, hanging = self._watch.look(elapsed_s)
        for pid in hanging:
            _log.error("%s does not come round (process %d), killing it", self._name(pid), pid)
            self._processes.kill(pid, signal.SIGKILL)
        self._pool.reclaim(beating)
        self._on_look()
        self.watch()

    def _name(self, pid: int) -> str:
        slot = self._pool.slots.get(pid)
        if slot is None and pid == self.monitoring.pid:
            return MONITOR
        return "coordinator" if slot is None else f"worker {slot.index + 1}"

    def reap(self) -> None:
        """Collect every dead child and replace it."""
        for pid in list(self._born):
            exit_code = self._processes.poll(pid)
            if exit_code is not None:
                self._watch.remove(pid)
                self._bury(pid, exit_code, self._clock() - self._born.pop(pid))

    def _bury(self, pid: int, exit_code: int, lifetime_s: float) -> None:
        if pid in self._pool.slots:
            self._bury_worker(pid, exit_code, lifetime_s)
        elif self.monitoring.bury(pid):
            if self.monitoring.missing:
                _log.error("monitor ended (%s), starting another", describe_exit(exit_code))
                self._replace(_MONITOR, lifetime_s, self.monitoring.start, lambda: self.monitoring.missing)
        elif self.coordination.bury(pid):
            self._replace_coordinator(exit_code, lifetime_s)

    def _replace_coordinator(self, exit_code: int, lifetime_s: float) -> None:
        if not self._needs_coordinator():
            return
        if not self.coordination.was_ready and exit_code >= 0:  # it said why, and would say so again
            self._on_start_failure()
            return
        _log.error("coordinator ended (%s), starting another", describe_exit(exit_code))
        self._replace(_COORDINATOR, lifetime_s, self.start_coordinator, self._needs_coordinator,
                      min(longest_delay(exit_code), LONGEST_OF_COORDINATOR_S))

    def _bury_worker(self, pid: int, exit_code: int, lifetime_s: float) -> None:
        slot = self._pool.slots[pid]
        self._pool.read(slot)  # what it had taken must not go to another
        self._loop.unregister(slot.channel.fileno())
        lost = slot.load - len(slot.untaken)
        self._pool.remove(pid)
        if slot.retiring:
            if exit_code or lost:
                _log.error("worker %d ended while it retired (%s), %d associations lost", slot.index + 1,
                           describe_exit(exit_code), lost)
        elif self._replacing:
            _log.error("worker %d ended (%s), %d associations lost, starting another",
                       slot.index + 1, describe_exit(exit_code), lost)
            self._replace(slot.index, lifetime_s, lambda: self.start_worker(slot.index, predecessor=pid),
                          lambda: self._replacing and not self._pool.serves(slot.index), longest_delay(exit_code))

    def _replace(self, index: int, lifetime_s: float, start: Callable[[], None], wanted: Callable[[], bool],
                 longest_s: float = LONGEST_DELAY_S) -> None:
        """Start another child after a while."""
        if self._measures is not None:
            self._measures.replaced({_COORDINATOR: "coordinator", _MONITOR: MONITOR}.get(index, "worker"))
        delay_s = self._backoffs.setdefault(index, Backoff()).delay_s(lifetime_s, longest_s)
        self._loop.call_later(delay_s, lambda: self._attempt(index, start, wanted))

    def _attempt(self, index: int, start: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Start a child; go on trying when the system has no process or descriptor to give."""
        if not wanted():
            return
        try:
            start()
        except OSError as error:
            _log.error("cannot start a process: %s; trying again", error)
            delay_s = self._backoffs.setdefault(index, Backoff()).delay_s(0.0, LONGEST_WITHOUT_FAULT_S)
            self._loop.call_later(delay_s, lambda: self._attempt(index, start, wanted))

    def _needs_coordinator(self) -> bool:
        """Whether there is none and somebody may have to tell it something: while draining the workers have."""
        vacant = not (self.coordination.pid or self.coordination.away)
        return vacant and (self._replacing or bool(self._pool.slots))

    def drain(self) -> None:
        """Let every worker end, and replace none of them; the coordinator stays until they have told it everything."""
        self._replacing = False
        self.renewal.cancel()
        self.tell_workers({"kind": "drain"})
        if self._needs_coordinator():
            self._fill_vacancy()

    def retire(self) -> None:
        """Let every worker end with its last association, and replace none of them: a successor serves."""
        self._replacing = False
        self.renewal.retire_all()

    def resume(self) -> None:
        """Replace workers again: there is no successor any more."""
        self._replacing = True

    # -- telling ----------------------------------------------------------------------------------

    def tell_coordinator(self, order: packets.Order | packets.Host) -> None:
        """Send one order without a descriptor; a dead coordinator needs none."""
        self.coordination.tell(order)

    def tell_workers(self, order: packets.Order | packets.Host) -> None:
        """Send one order to all workers; one whose channel is full is drained by a signal."""
        for slot in self._pool.slots.values():
            if tell(slot.channel, order):
                continue
            _log.debug("worker %d did not take an order", slot.index + 1)
            if order["kind"] == "drain":
                self._processes.kill(slot.pid, signal.SIGTERM)

    def kill_all(self) -> None:
        """End what did not end by itself."""
        for pid in self._born:
            self._processes.kill(pid, signal.SIGKILL)

    def kill_workers(self) -> None:
        """End the workers that did not end by themselves."""
        for slot in self._pool.slots.values():
            _log.error("worker %d did not end in time, killing it", slot.index + 1)
            self._processes.kill(slot.pid, signal.SIGKILL)

    @property
    def children(self) -> int:
        """Children not reaped yet, but for the monitor, which nobody waits for."""
        return len(self._born) - (self.monitoring.pid in self._born)


def tell(channel: socket.socket, order: packets.Order | packets.Host) -> bool:
    """Send one order; False when the process behind the channel is gone or deaf."""
    try:
        channel.send(packets.encode(order))
    except (BlockingIOError, BrokenPipeError, ConnectionResetError, ConnectionRefusedError):
        return False
    return True
