"""Forks, watches and replaces the worker processes and the coordinator.

Strategy: children are forked from the acceptor process, which opens no thread and holds no DICOM state.
Each child closes what belongs to others, so that end of file on a channel means that the process behind
it died. A child that dies at once, again and again, is replaced ever more slowly.

Invariants: a dead worker gives back what it had not taken, after everything it had said was read; while the
service goes down no worker is replaced, a coordinator only as long as a worker may have something to tell it.
What it does not do: know what a worker or a coordinator is (``policy.Children``).
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable

from fastscp.acceptor.policy import Children, WorkerStart
from fastscp.acceptor.pool import Pool, WorkerSlot
from fastscp.log.names import NETWORK
from fastscp.net.systemd import hide_from_children
from fastscp.process import fdpass, packets
from fastscp.process.child import Closeable, Processes
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(NETWORK)

_SHORT_LIFE_S = 2.0
_FIRST_DELAY_S = 0.2  #: after the second short life in a row; doubled with each further one
_LONGEST_DELAY_S = 30.0
_RETRY_S = 0.05
_COORDINATOR = -1  #: its place among the indexes of workers


class Backoff:
    """How long to wait before a dead child is replaced: not at all, unless it keeps dying young."""

    def __init__(self) -> None:
        self._next_s = 0.0  #: after the next short life

    def delay_s(self, lifetime_s: float) -> float:
        """Return the pause after a child that lived ``lifetime_s`` seconds."""
        if lifetime_s >= _SHORT_LIFE_S:
            self._next_s = 0.0
            return 0.0
        delay_s = self._next_s
        self._next_s = min(_LONGEST_DELAY_S, 2 * delay_s) if delay_s else _FIRST_DELAY_S
        return delay_s


class Supervisor:
    """Owns every child of the acceptor process."""

    def __init__(self, children: Children, processes: Processes, loop: Loop, pool: Pool,
                 own_sockets: Callable[[], Iterable[socket.socket]], *,
                 on_ready: Callable[[], None], on_start_failure: Callable[[], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._children = children
        self._processes = processes
        self._loop = loop
        self._pool = pool
        self._clock = clock
        self._own_sockets = own_sockets
        self._on_ready = on_ready
        self._on_start_failure = on_start_failure
        self._coordinator_pid = 0
        self._coordinator: socket.socket | None = None
        self._coordinator_was_ready = False
        self._born: dict[int, float] = {}
        self._backoffs: dict[int, Backoff] = {}
        self._replacing = True  #: False once the service goes down

    # -- starting ---------------------------------------------------------------------------------

    def start_coordinator(self) -> None:
        """Start the coordinator process."""
        ours, theirs = fdpass.channel_pair()
        pid = self._start(lambda: self._children.coordinator(theirs), "coordinator", ours, theirs)
        self._coordinator_pid, self._coordinator = pid, ours
        self._loop.register(ours.fileno(), IN, lambda _mask: self._read_coordinator())
        for slot in self._pool.slots.values():
            self._connect_to_coordinator(slot)

    def start_worker(self, index: int, predecessor: int = 0) -> None:
        """Start worker ``index`` and connect it to the coordinator; ``predecessor`` is the pid it replaces."""
        ours, theirs = fdpass.channel_pair()
        start = WorkerStart(index, theirs, predecessor)
        pid = self._start(lambda: self._children.worker(start), f"worker {index + 1}", ours, theirs)
        slot = WorkerSlot(index, pid, ours)
        self._loop.register(ours.fileno(), IN, lambda _mask: self._read_worker(slot))
        self._pool.add(slot)
        self._connect_to_coordinator(slot)

    def _start(self, run: Callable[[], int], title: str, ours: socket.socket, theirs: socket.socket) -> int:
        """Start a child that has no descriptor of the others; only its own end of a channel stays open in it."""
        belonging: list[Closeable] = [self._loop, ours, *self._own_sockets(), *self._pool.inherited_sockets()]
        if self._coordinator is not None:
            belonging.append(self._coordinator)

        def run_unnoticed() -> int:
            hide_from_children()
            return run()

        try:
            pid = self._processes.start(run_unnoticed, title=title, close=belonging)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._born[pid] = self._clock()
        return pid

    def introduce(self, name: str, descriptor: int) -> None:
        """Give the coordinator its end of an event channel. Raises OSError when it cannot take it."""
        if self._coordinator is None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        packet = packets.encode({"kind": "worker", "name": name})
        fdpass.send_with_descriptor(self._coordinator, packet, descriptor)

    def _connect_to_coordinator(self, slot: WorkerSlot) -> None:
        """Give a worker and the coordinator the two ends of a fresh event channel."""
        if self._coordinator is None or slot.pid not in self._pool.slots:
            return
        try:
            worker_end, coordinator_end = fdpass.channel_pair()
        except OSError as error:  # no descriptor left; an association that ends gives some back
            _log.error("no event channel for worker %d: %s; trying again", slot.index + 1, error)
            self._loop.call_later(_RETRY_S, lambda: self._connect_to_coordinator(slot))
            return
        try:
            self.introduce(f"worker {slot.index + 1} ({slot.pid})", coordinator_end.fileno())
            fdpass.send_with_descriptor(slot.channel, packets.encode({"kind": "event_channel"}), worker_end.fileno())
        except BlockingIOError:
            self._loop.call_later(_RETRY_S, lambda: self._connect_to_coordinator(slot))
        except (BrokenPipeError, ConnectionResetError):
            _log.debug("event channel of worker %d not made: a process is dying", slot.index + 1)
        finally:
            worker_end.close()
            coordinator_end.close()

    # -- watching ---------------------------------------------------------------------------------

    def _read_worker(self, slot: WorkerSlot) -> None:
        if not self._pool.read(slot):
            self._loop.unregister(slot.channel.fileno())
            slot.up = False

    def _read_coordinator(self) -> None:
        channel = self._coordinator
        if channel is None:
            return
        try:
            packet, _ = fdpass.receive(channel)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self._drop_coordinator_channel()
        elif packets.decode_control(packet)["kind"] == "ready":
            self._coordinator_was_ready = True
            self._on_ready()

    def _drop_coordinator_channel(self) -> None:
        if self._coordinator is not None:
            self._loop.unregister(self._coordinator.fileno())
            self._coordinator.close()
            self._coordinator = None

    def reap(self) -> None:
        """Collect every dead child and replace it."""
        for pid in list(self._born):
            exit_code = self._processes.poll(pid)
            if exit_code is not None:
                self._bury(pid, exit_code, self._clock() - self._born.pop(pid))

    def _bury(self, pid: int, exit_code: int, lifetime_s: float) -> None:
        if pid == self._coordinator_pid:
            self._bury_coordinator(exit_code, lifetime_s)
        else:
            self._bury_worker(pid, exit_code, lifetime_s)

    def _bury_coordinator(self, exit_code: int, lifetime_s: float) -> None:
        self._coordinator_pid = 0
        self._drop_coordinator_channel()
        if not self._needs_coordinator():
            return
        if not self._coordinator_was_ready:
            self._on_start_failure()
            return
        _log.error("coordinator ended (%s), starting another", describe_exit(exit_code))
        self._replace(_COORDINATOR, lifetime_s, self.start_coordinator, self._needs_coordinator)

    def _bury_worker(self, pid: int, exit_code: int, lifetime_s: float) -> None:
        slot = self._pool.slots[pid]
        self._pool.read(slot)  # what it had taken must not go to another
        if slot.channel.fileno() in self._loop:
            self._loop.unregister(slot.channel.fileno())
        lost = slot.load - len(slot.untaken)
        self._pool.remove(pid)
        if self._replacing:
            _log.error("worker %d ended (%s), %d associations lost, starting another",
                       slot.index + 1, describe_exit(exit_code), lost)
            self._replace(slot.index, lifetime_s, lambda: self.start_worker(slot.index, predecessor=pid),
                          lambda: self._replacing)

    def _replace(self, index: int, lifetime_s: float, start: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Start another child; go on trying when the system has no process or descriptor to give."""
        backoff = self._backoffs.setdefault(index, Backoff())

        def try_to_start() -> None:
            if not wanted():
                return
            try:
                start()
            except OSError as error:
                _log.error("cannot start a process: %s; trying again", error)
                self._loop.call_later(backoff.delay_s(0.0), try_to_start)

        self._loop.call_later(backoff.delay_s(lifetime_s), try_to_start)

    def _needs_coordinator(self) -> bool:
        """Whether there is none and somebody may have to tell it something: while draining the workers have."""
        return not self._coordinator_pid and (self._replacing or bool(self._pool.slots))

    def drain(self) -> None:
        """Let every worker end, and replace none of them; the coordinator stays until they have told it everything."""
        self._replacing = False
        self.tell_workers({"kind": "drain"})
        if self._needs_coordinator():  # now, no matter how long it was to be waited for
            self._replace(_COORDINATOR, _SHORT_LIFE_S, self.start_coordinator, self._needs_coordinator)

    # -- telling ----------------------------------------------------------------------------------

    def tell_coordinator(self, order: packets.Order | packets.Host) -> None:
        """Send one order without a descriptor; a dead coordinator needs none."""
        if self._coordinator is None:
            return
        try:
            self._coordinator.send(packets.encode(order))
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            _log.warning("coordinator did not take the order to %s: %s", order["kind"], error)

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

    @property
    def children(self) -> int:
        """Children not reaped yet."""
        return len(self._born)


def tell(channel: socket.socket, order: packets.Order | packets.Host) -> bool:
    """Send one order; False when the process behind the channel is gone or deaf."""
    try:
        channel.send(packets.encode(order))
    except (BlockingIOError, BrokenPipeError, ConnectionResetError, ConnectionRefusedError):
        return False
    return True


def describe_exit(exit_code: int) -> str:
    """Say how a process ended."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    known = -exit_code in set(signal.Signals)  # most real-time signals have no name
    return f"signal {signal.Signals(-exit_code).name if known else -exit_code}"
