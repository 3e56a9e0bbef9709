"""What the monitor finds out itself: what processes use, room on disks, the size of the state.

Strategy: asked for every few seconds, not for each request, so that no client makes the system work. A file system may hang
(NFS); this process hangs then, and nobody else.

Invariant: CPU time is counted by kind of process, over the deaths of processes and of this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import psutil

from fastscp.metrics import table
from fastscp.metrics.board import Ledger
from fastscp.monitor.disks import Disks
from fastscp.monitor.totals import Process, Totals


class Machine:
    """What was found out last. ``ledger`` keeps CPU time."""

    def __init__(self, ledger: Ledger, disks: Disks, state_directory: str | None, *,
                 statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
                 process_of: Callable[[int], psutil.Process] = psutil.Process) -> None:
        self._ledger = ledger
        self.disks = disks
        self._state_directory = state_directory
        self._statvfs = statvfs
        self._process_of = process_of
        self._known: dict[int, psutil.Process] = {}
        self._cpu: dict[int, float] = {}  #: seconds that are counted, by pid
        self._gauges: list[tuple[table.Metric, float, str]] = []
        self.free: dict[str, tuple[int, int]] = {}  #: octets free, and in all, by directory; 0 and 0 where it is not there

    def look(self, processes: Iterable[Process]) -> None:
        """Find it out again."""
        self._gauges = []
        self._look_at(processes)
        self.free = {}
        for name, directory in self.disks.directories.items():
            try:
                found = self._statvfs(directory)
            except OSError:
                self.free[name] = 0, 0  # it may come back
                continue
            self.free[name] = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
            self._gauges += [(table.DISK_FREE, self.free[name][0], name), (table.DISK_SIZE, self.free[name][1], name),
                             (table.INODES_FREE, found.f_favail, name)]

    def _look_at(self, processes: Iterable[Process]) -> None:
        sums: dict[str, list[float]] = {}
        value: float
        known, self._known = self._known, {}
        for process in processes:
            try:
                handle = known.get(process.pid) or self._process_of(process.pid)
                with handle.oneshot():
                    times, memory, descriptors = handle.cpu_times(), handle.memory_info().rss, self._descriptors(handle)
            except psutil.Error:
                continue  # it has ended meanwhile
            self._known[process.pid] = handle
            used = times.user + times.system
            self._ledger.add(table.CPU_SECONDS, process.role, by=max(0.0, used - self._cpu.get(process.pid, 0.0)))
            self._cpu[process.pid] = used
            role = sums.setdefault(process.role, [0.0, 0.0, 0.0])
            for index, value in enumerate((1, memory, descriptors)):
                role[index] += value
        self._cpu = {pid: used for pid, used in self._cpu.items() if pid in self._known}
        for role_name, values in sums.items():
            for metric, value in zip((table.PROCESSES, table.MEMORY, table.DESCRIPTORS), values, strict=True):
                self._gauges.append((metric, value, role_name))

    @staticmethod
    def _descriptors(handle: psutil.Process) -> int:
        try:
            return int(handle.num_fds())
        except psutil.AccessDenied:  # of another user
            return 0

    def tell(self, totals: Totals) -> None:
        """Put what was found out last among the totals."""
        for metric, value, label in self._gauges:
            totals.set(metric, value, label)
        if self._state_directory is not None:
            totals.set(table.STATE_BYTES, state_octets(self._state_directory))


def state_octets(directory: str) -> int:
    """Return the octets of the files in the state directory, 0 where it is not there (yet)."""
    octets = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    octets += entry.stat(follow_symlinks=False).st_size
    except OSError:  # a file was removed meanwhile, or there is none
        return octets
    return octets
