"""The express lane of an association whose objects the coordinator is told of.

Strategy: the core stores what came whole and lists it; here the coordinator is told of the list, and the answers leave
as they do the usual way: when its packets are in the channel, or safe where studies are tracked. Where objects are sorted,
the lane takes those of the study whose transfer the association keeps (``fastscp.worker.told``), into the directory
that is open for it.

Invariant: with the lane or without it the coordinator hears the same.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from fastscp.process import packets
from fastscp.worker import telling
from fastscp.worker.context import Reporter, ServiceContext
from fastscp.worker.dialogue import Dialogue
from fastscp.worker.flow import Lane

if TYPE_CHECKING:
    from fastscp import core
    from fastscp._core import Told
    from fastscp.worker.service import StorageService

_MOST_DIRECTORIES: Final = 32  #: that are open; of a worker (``net.listener`` counts them)


class OpenDirectories:
    """The study directories that associations put objects into, open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._used: dict[str, str] = {}  #: directory of each association

    def find(self, path: str, association: str) -> tuple[int, int, int] | None:
        """Return descriptor, device and inode number of a directory; None where the path leads to none, or to a link.

        The association uses this one from here on, and no other. The descriptor is good until the next call. The path may
        lead elsewhere meanwhile: who notices says so (``forget``).
        """
        if self._used.get(association) != path:
            self.leave(association)
            self._used[association] = path
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        try:
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        if len(self._open) == _MOST_DIRECTORIES:
            self.forget(next(iter(self._open)))
        status = os.fstat(fd)
        self._open[path] = opened = fd, status.st_dev, status.st_ino
        return opened

    def leave(self, association: str) -> None:
        """Close the directory of an association that uses it no more, unless another does."""
        path = self._used.pop(association, None)
        if path is not None and path not in self._used.values():
            self.forget(path)

    def forget(self, path: str) -> None:
        """Open a directory anew when it is wanted next."""
        found = self._open.pop(path, None)
        if found is not None:
            os.close(found[0])


class Speaker(Dialogue, Protocol):
    """The connection."""

    storage: StorageService


@dataclass(frozen=True)
class Telling:
    """What a lane needs to tell of objects. ``syntaxes`` are those of the files, by presentation context."""

    reporter: Reporter
    directories: OpenDirectories
    syntaxes: dict[int, str]


class LaneAround:
    """An express lane around another."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.directory = lane.directory  #: of these files

    @property
    def stored(self) -> int:
        """Objects of the last ``take``."""
        return self._lane.stored

    @property
    def written(self) -> int:
        """Octets of their files."""
        return self._lane.written

    @property
    def replaced(self) -> list[bytes]:
        """Names of those in whose place an earlier file was."""
        return self._lane.replaced

    def missing(self, octets: memoryview) -> int:
        """Return how many octets, at least, a message lacks that would be taken if it were whole; 0 for others."""
        return self._lane.missing(octets)

    def leave(self) -> None:
        """Give back what is open."""
        self._lane.leave()


class ReportingLane(LaneAround):
    """The express lane of one association."""

    def __init__(self, lane: core.Lane, connection: Speaker, context: ServiceContext, telling: Telling) -> None:
        super().__init__(lane)
        self._core = lane
        self._connection = connection
        self._context = context
        self._reporter = telling.reporter
        self._directories = telling.directories
        self._syntaxes = telling.syntaxes
        self._waiting = 0  #: objects of the last take that are not safe yet

    def take(self, octets: memoryview, output: bytearray, most: int) -> int:
        """Store what can be stored of what was read, and tell of it; return how many octets that took.

        The answers are appended to ``output``, at once or as soon as the objects are safe; the connection is blocked until then.
        """
        context = self._context
        if context.intake.held or (context.durable and self._reporter.trouble) or (context.places and not self._enter()):
            return 0
        answers = bytearray()
        begun = time.monotonic()
        taken = self._lane.take(octets, answers, most)
        told = self._core.told
        if context.places and not told:
            self._directories.forget(self.directory)  # another may be there now
        if told:
            self._tell(told, (time.monotonic() - begun) / len(told), answers, output)
        return taken

    def missing(self, octets: memoryview) -> int:
        """Return how many octets, at least, a message lacks that would be taken if it were whole; 0 for others."""
        return 0 if self._context.intake.held else self._lane.missing(octets)

    def leave(self) -> None:
        """Give back what is open."""
        super().leave()
        self._directories.leave(self._connection.name)

    def _enter(self) -> bool:
        """Have the directory of the association's study open; False where it has none now."""
        kept = self._connection.storage.lodging.kept
        if kept is None or not self._reporter.is_kept(kept[1]["request"]):
            return False
        study, placed = kept
        found = self._directories.find(placed["directory"], self._connection.name)
        if found is None:
            return False
        self.directory = placed["directory"]
        self._core.enter(study.encode("latin-1"), os.fsencode(self.directory), *found)
        return True

    def _tell(self, told: list[Told], each_s: float, answers: bytearray, output: bytearray) -> None:
        reporter, durable = self._reporter, self._context.durable
        kept = self._connection.storage.lodging.kept if self._context.places else None
        request = None if kept is None else kept[1]["request"]
        self._waiting = len(told)
        safe = partial(self._safe, answers, output)
        for one in told:
            packet = self._packet(one, reporter.next_event(), request, each_s)
            if durable:
                reporter.stored(packet, on_acknowledged=safe, on_failed=self._unsure)
            else:
                reporter.stored(packet, on_sent=safe)
        if self._waiting:
            self._connection.storage.waiting = durable
            self._connection.block()

    def _packet(self, told: Told, event: int, request: int | None, duration_s: float) -> packets.Stored:
        seen = telling.Unseen(*told[1:], self.directory, self._syntaxes[told[0]], duration_s)
        return telling.stored_unseen(seen, telling.Numbers(event, request, request is not None), self._connection.name)

    def _safe(self, answers: bytearray, output: bytearray) -> None:
        """Answer, when the last object is safe."""
        self._waiting -= 1
        if self._waiting:
            return
        output += answers
        if self._connection.blocked:
            self._connection.storage.waiting = False
            self._connection.flow.enter(self._connection.resume)

    def _unsure(self) -> None:
        self._connection.flow.enter(self._connection.storage.give_up)
