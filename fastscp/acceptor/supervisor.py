"""Forks, watches and replaces the worker processes and the coordinator.

Strategy: children are forked from the acceptor process, which opens no thread and holds no DICOM state.
Each child closes what belongs to others, so that end of file on a channel means that the process behind
it died. A child that dies at once, again and again, is replaced ever more slowly.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable

from fastscp.acceptor.pool import Pool, WorkerSlot, tell
from fastscp.config import Config
from fastscp.coordinator import process as coordinator
from fastscp.errors import FastscpError
from fastscp.log.names import NETWORK
from fastscp.net.systemd import hide_from_children
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN, Loop
from fastscp.process.titles import set_title
from fastscp.store.sink import remove_stale_temporaries
from fastscp.worker.process import Worker, WorkerSettings

_log = logging.getLogger(NETWORK)

_SHORT_LIFE_S = 2.0
_LONGEST_DELAY_S = 30.0
_RETRY_S = 0.05


class Backoff:
    """How long to wait before a dead child is replaced: not at all, unless it keeps dying young."""

    def __init__(self) -> None:
        self._short_lives = 0

    def delay_s(self, lifetime_s: float) -> float:
        """Return the pause after a child that lived ``lifetime_s`` seconds."""
        if lifetime_s >= _SHORT_LIFE_S:
            self._short_lives = 0
            return 0.0
        self._short_lives += 1
        if self._short_lives == 1:
            return 0.0
        return min(_LONGEST_DELAY_S, 0.05 * 2.0**self._short_lives)


class Supervisor:
    """Owns every child of the acceptor process."""

    def __init__(self, config: Config, settings: WorkerSettings, loop: Loop, pool: Pool,
                 own_sockets: Callable[[], Iterable[socket.socket]], *,
                 on_ready: Callable[[], None], on_start_failure: Callable[[], None]) -> None:
        self._config = config
        self._settings = settings
        self._loop = loop
        self._pool = pool
        self._own_sockets = own_sockets
        self._on_ready = on_ready
        self._on_start_failure = on_start_failure
        self._coordinator_pid = 0
        self._coordinator: socket.socket | None = None
        self._coordinator_ready = False
        self._coordinator_was_ready = False
        self._born: dict[int, float] = {}
        self._backoffs: dict[int, Backoff] = {}
        self._replacing = True  #: False once the service goes down

    # -- starting ---------------------------------------------------------------------------------

    def start_coordinator(self) -> None:
        """Fork the coordinator process."""
        ours, theirs = fdpass.channel_pair()
        pid = self._fork(lambda: self._run_coordinator(theirs), ours)
        theirs.close()
        self._coordinator_pid, self._coordinator, self._coordinator_ready = pid, ours, False
        self._loop.register(ours.fileno(), IN, lambda _mask: self._read_coordinator())
        for slot in self._pool.slots.values():
            self._connect_to_coordinator(slot)

    def _run_coordinator(self, control: socket.socket) -> int:
        set_title("coordinator")
        return coordinator.main(control, self._config)

    def start_worker(self, index: int, predecessor: int = 0) -> None:
        """Fork worker ``index`` and connect it to the coordinator; ``predecessor`` is the pid it replaces."""
        ours, theirs = fdpass.channel_pair()
        pid = self._fork(lambda: self._run_worker(index, theirs, predecessor), ours)
        theirs.close()
        slot = WorkerSlot(index, pid, ours)
        self._loop.register(ours.fileno(), IN, lambda _mask: self._read_worker(slot))
        self._pool.add(slot)
        self._connect_to_coordinator(slot)

    def _run_worker(self, index: int, control: socket.socket, predecessor: int) -> int:
        set_title(f"worker {index + 1}")
        store = self._config.store
        if predecessor and not store.ignore:
            try:
                remove_stale_temporaries(store.output_directory, predecessor)
            except OSError as error:
                _log.warning("cannot remove what process %d may have left: %s", predecessor, error)
        try:
            return Worker(control, self._config, self._settings).run()
        except (FastscpError, OSError) as error:
            _log.critical("worker %d cannot go on: %s", index + 1, error)
            return 1

    def _fork(self, run: Callable[[], int], parent_end: socket.socket) -> int:
        """Fork; the child closes every descriptor of the others, runs, and never returns."""
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()
        pid = os.fork()
        if pid:
            self._born[pid] = time.monotonic()
            gc.unfreeze()
            return pid
        status = 70
        try:
            self._loop.close()
            hide_from_children()
            for sock in (parent_end, *self._own_sockets(), *self._pool.inherited_sockets()):
                sock.close()
            if self._coordinator is not None:
                self._coordinator.close()
            status = run()
        except BaseException:  # noqa: BLE001 - the outermost frame of a process
            _log.critical("process ends after an internal error", exc_info=True)
        finally:
            logging.shutdown()
            os._exit(status)

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
            packet = packets.encode({"kind": "worker", "name": f"worker {slot.index + 1} ({slot.pid})"})
            fdpass.send_with_descriptor(self._coordinator, packet, coordinator_end.fileno())
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
            self._coordinator_ready = self._coordinator_was_ready = True
            self._on_ready()

    def _drop_coordinator_channel(self) -> None:
        if self._coordinator is not None:
            self._loop.unregister(self._coordinator.fileno())
            self._coordinator.close()
            self._coordinator = None

    def reap(self) -> None:
        """Collect every dead child and replace it."""
        for pid in list(self._born):
            try:
                reaped, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                reaped, status = pid, 0
            if reaped:
                lifetime_s = time.monotonic() - self._born.pop(pid)
                self._bury(pid, os.waitstatus_to_exitcode(status), lifetime_s)

    def _bury(self, pid: int, exit_code: int, lifetime_s: float) -> None:
        if pid == self._coordinator_pid:
            self._bury_coordinator(exit_code, lifetime_s)
        else:
            self._bury_worker(pid, exit_code, lifetime_s)

    def _bury_coordinator(self, exit_code: int, lifetime_s: float) -> None:
        self._coordinator_pid = 0
        self._coordinator_ready = False
        self._drop_coordinator_channel()
        if not self._needs_coordinator():
            return
        if not self._coordinator_was_ready:
            self._on_start_failure()
            return
        _log.error("coordinator ended (%s), starting another", describe_exit(exit_code))
        self._replace(-1, lifetime_s, self.start_coordinator, self._needs_coordinator)

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
            self._replace(-1, _SHORT_LIFE_S, self.start_coordinator, self._needs_coordinator)

    # -- telling ----------------------------------------------------------------------------------

    def tell_coordinator(self, order: packets.Order) -> None:
        """Send one order without a descriptor; a dead coordinator needs none."""
        if self._coordinator is None:
            return
        try:
            self._coordinator.send(packets.encode(order))
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            _log.warning("coordinator did not take the order to %s: %s", order["kind"], error)

    def tell_workers(self, order: packets.Order) -> None:
        """Send one order to all workers; one whose channel is full is drained by a signal."""
        for slot in self._pool.slots.values():
            if tell(slot.channel, order):
                continue
            _log.debug("worker %d did not take an order", slot.index + 1)
            if order["kind"] == "drain":
                os.kill(slot.pid, signal.SIGTERM)

    def kill_all(self) -> None:
        """End what did not end by itself."""
        for pid in self._born:
            os.kill(pid, signal.SIGKILL)

    @property
    def children(self) -> int:
        """Children not reaped yet."""
        return len(self._born)


def describe_exit(exit_code: int) -> str:
    """Say how a process ended."""
    return f"exit status {exit_code}" if exit_code >= 0 else f"signal {signal.Signals(-exit_code).name}"
