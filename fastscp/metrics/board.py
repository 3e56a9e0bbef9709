"""The memory that all processes of the service count in.

Strategy: a file in memory is divided into blocks. A process *claims* a block and counts in it by plain additions: nothing
is sent, nobody is waited for, and a reader that is stuck or not there costs nothing. Each block has a list of its series
in text, ``cells`` (doubles) that hold their values, and a *report*, JSON of what the process has under way.

Invariants: a block has one writer, whoever holds the lock on the octet of the block's number (fcntl(2)); the kernel gives
the lock back when that process dies. Counts stay: the next process that claims the block adds to them, so that a counter
never goes back, whoever dies. Gauges begin at 0 with each process, and count only while it lives. A reader never sees a
series before its cells are there, nor half a report.

What it does not do: know what is counted (``fastscp.metrics.table``); give blocks back, of which there are far more than
processes. Programs of two versions share the memory when one follows the other: a series says its own name and size.

A block, in octets from its begin: 0 pid, 8 time of the claim (double, seconds since 1970), 16 end of the list of series, 24
first free cell, 32 number of the report (odd while it is being written), 40 length of the report, 48 role (32 octets);
then cells, list and report. Integers are unsigned, of 8 octets, in the order of the machine.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fastscp.errors import ProcessError
from fastscp.metrics.table import BY_NAME, UNCOUNTED, Kind, Metric

BLOCKS = 256
_HEAD, _ROLE_OCTETS = 128, 32
CELLS = 4096
_LIST_AT = _HEAD + 8 * CELLS
_LIST_OCTETS = 65536
_REPORT_AT = _LIST_AT + _LIST_OCTETS
REPORT_OCTETS = 98304 - _HEAD
BLOCK_OCTETS = _REPORT_AT + REPORT_OCTETS
_SIZE = BLOCKS * BLOCK_OCTETS
_PID, _CLAIMED, _LIST_END, _FREE, _NUMBER, _LENGTH = range(6)  #: words of the head
_ROLE_AT = 48
_RUBBISH = 0  #: the cell for what finds no room
_FIRST = 1  #: the first cell of a series
_FLOCK = struct.Struct("hhqqi4x")  #: struct flock of 64-bit Linux
_TRIES = 5  #: to read a report that is being written


class Board:
    """The memory. Make it before the processes that share it are forked; ``file`` is that of a process that this one follows."""

    def __init__(self, file: int | None = None) -> None:
        if file is None:
            file = os.memfd_create("fastscp-metrics", os.MFD_CLOEXEC)
            os.ftruncate(file, _SIZE)
        elif os.fstat(file).st_size != _SIZE:
            raise ProcessError("the memory of the metrics is of another version")
        self._file = file
        self._memory = memoryview(mmap.mmap(file, _SIZE))
        self._claimed: set[tuple[int, int]] = set()  #: (pid, block): a child knows the blocks of its parent, which are not its own

    def fileno(self) -> int:
        """Return the descriptor of the memory."""
        return self._file

    def claim(self, role: str) -> Ledger:
        """Return a block of this process: one that another of the same role has left, if there is one. Raises ProcessError."""
        own: list[int] = []
        free: list[int] = []
        others: list[int] = []
        for index in range(BLOCKS):
            there = self.block(index).role
            (own if there == role else others if there else free).append(index)
        for index in (*own, *free, *others):
            if (os.getpid(), index) in self._claimed:  # locks of one process do not exclude each other
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
            except (BlockingIOError, PermissionError):
                continue
            self._claimed.add((os.getpid(), index))
            return Ledger(self.block(index), role)
        raise ProcessError("no room is left to count in")

    def block(self, index: int) -> Block:
        """Return the views of a block."""
        return Block(index, self._memory[index * BLOCK_OCTETS : (index + 1) * BLOCK_OCTETS])

    def holder(self, index: int) -> int:
        """Return the pid of the process whose block it is; 0 when that has ended."""
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, index, 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, question))
        if kind != fcntl.F_UNLCK:
            return int(pid)
        return os.getpid() if (os.getpid(), index) in self._claimed else 0  # nobody is told of a lock of his own

    def used(self) -> Iterator[Block]:
        """Yield the blocks that were ever claimed."""
        for index in range(BLOCKS):
            block = self.block(index)
            if block.role:
                yield block


@dataclass(frozen=True)
class Series:
    """The cells of one series: those from ``first`` on."""

    metric: Metric
    labels: tuple[str, ...]
    first: int


class Block:
    """The views of one block."""

    def __init__(self, index: int, memory: memoryview) -> None:
        self.index = index
        self.memory = memory
        self.head = memory[:_HEAD].cast("Q")
        self.cells = memory[_HEAD:_LIST_AT].cast("d")

    @property
    def role(self) -> str:
        """What the process is that counts here, or did; "" where none ever has."""
        return _role(self)

    @property
    def claimed(self) -> float:
        """When its process began, seconds since 1970."""
        return float(self.memory[8:16].cast("d")[0])

    @property
    def list_end(self) -> int:
        """Octets of the list of series that are there."""
        return int(self.head[_LIST_END])

    def series(self, begin: int = 0) -> list[Series]:
        """Return the series that this program knows, of the list from ``begin`` on."""
        lines = bytes(self.memory[_LIST_AT + begin : _LIST_AT + self.list_end]).splitlines()
        return [series for line in lines if (series := _series(line)) is not None]

    def report(self) -> Any:
        """Return the report, None where there is none (or it is being written all the time)."""
        for _ in range(_TRIES):
            number, length = self.head[_NUMBER], self.head[_LENGTH]
            octets = bytes(self.memory[_REPORT_AT : _REPORT_AT + min(length, REPORT_OCTETS)])
            if not number % 2 and self.head[_NUMBER] == number:
                return orjson.loads(octets) if octets else None
        return None


def _role(block: Block) -> str:
    return bytes(block.memory[_ROLE_AT : _ROLE_AT + _ROLE_OCTETS]).rstrip(b"\0").decode("ascii")


def _series(line: bytes) -> Series | None:
    """Return a series as it stands in the list: name, first cell, number of cells, values of labels."""
    name, first, cells, *labels = orjson.loads(line)
    metric = BY_NAME.get(name)
    if metric is None or metric.cells != cells or len(metric.labels) != len(labels):
        return None  # another version's
    return Series(metric, tuple(labels), first)


class Ledger:
    """The block that this process counts in."""

    def __init__(self, block: Block, role: str) -> None:
        self._block = block
        self._cells = block.cells
        self._places: dict[tuple[str, ...], int] = {}
        head = block.head
        head[_PID] = os.getpid()
        block.memory[8:16].cast("d")[0] = time.time()
        block.memory[_ROLE_AT : _ROLE_AT + _ROLE_OCTETS] = role.encode("ascii").ljust(_ROLE_OCTETS, b"\0")
        head[_FREE] = max(head[_FREE], _FIRST)
        head[_NUMBER] += head[_NUMBER] % 2  # whoever was here may have died while it wrote
        self.report(None)
        for series in block.series():
            key = (series.metric.name, *series.labels)
            self._places[key] = series.first
            if series.metric.kind is Kind.GAUGE:
                self._cells[series.first] = 0.0
        place = self._places.get((UNCOUNTED.name,))
        self._uncounted = self._place(UNCOUNTED, ()) if place is None else place

    def add(self, metric: Metric, *labels: str, by: float = 1.0) -> None:
        """Count."""
        place = self._places.get((metric.name, *labels))
        self._cells[self._place(metric, labels) if place is None else place] += by

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Say what a gauge is now."""
        place = self._places.get((metric.name, *labels))
        self._cells[self._place(metric, labels) if place is None else place] = value

    def observe(self, metric: Metric, value: float, *labels: str, times: int = 1) -> None:
        """Count a value of a histogram, as often as it was measured."""
        place = self._places.get((metric.name, *labels))
        place = self._place(metric, labels) if place is None else place
        if place == _RUBBISH:
            return
        bounds = metric.bounds
        self._cells[place + len(bounds) + 1] += value * times
        self._cells[place + bisect_left(bounds, value)] += times

    def _place(self, metric: Metric, labels: Sequence[str]) -> int:
        """Make room for a series; what finds none shares a cell that nobody reads, and is counted."""
        head, memory = self._block.head, self._block.memory
        first, end = head[_FREE], head[_LIST_END]
        line = orjson.dumps((metric.name, first, metric.cells, *labels), option=orjson.OPT_APPEND_NEWLINE)
        if first + metric.cells > CELLS or end + len(line) > _LIST_OCTETS:
            self._cells[self._uncounted] += 1
            return _RUBBISH
        for cell in range(first, first + metric.cells):
            self._cells[cell] = 0.0
        memory[_LIST_AT + end : _LIST_AT + end + len(line)] = line
        head[_FREE] = first + metric.cells
        head[_LIST_END] = end + len(line)  # last: from here on readers see it
        key = (metric.name, *labels)
        self._places[key] = int(first)
        return int(first)

    def report(self, facts: object) -> bool:
        """Say what this process has under way, None for nothing; False where it is too much."""
        octets = b"" if facts is None else orjson.dumps(facts)
        if len(octets) > REPORT_OCTETS:
            return False
        head, memory = self._block.head, self._block.memory
        head[_NUMBER] += 1
        memory[_REPORT_AT : _REPORT_AT + len(octets)] = octets
        head[_LENGTH] = len(octets)
        head[_NUMBER] += 1
        return True


class Known:
    """Values of a label that are told apart: the first ``most``; all others are ``other``."""

    def __init__(self, most: int, other: str) -> None:
        self._most = most
        self._other = other
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or what stands for it."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return self._other
            self._known.add(value)
        return value
