"""From a complete temporary to a published object and what is told of it: the last step in a worker, in its turn.

Invariant: with ``--move`` an object is on the disk, and its name too, before anybody is told that it is stored.
"""

from __future__ import annotations

import datetime
import os
import time
from dataclasses import dataclass
from typing import Any

from fastscp.dimse import status
from fastscp.errors import InstanceError, StorageError
from fastscp.ingest.preparing import READY, Prepared
from fastscp.process import notes, packets
from fastscp.store.directory import storage_error
from fastscp.store.policy import OnDuplicate
from fastscp.store.steps import result
from fastscp.worker import telling
from fastscp.worker.narration import log_published
from fastscp.worker.outcome import Caller, Outcomes
from fastscp.worker.publication import Published
from fastscp.worker.reception import Kept, Reception

STORED, REFUSED, QUARANTINED, FOREIGN, SKIPPED = "stored", "refused", "quarantined", "not-dicom", "skipped"
WOULD_STORE = "would-store"


class Notes:
    """Keeps what is told to the event stream, for the main process to tell it."""

    def __init__(self) -> None:
        self.notes: list[notes.Note] = []

    def note(self, packet: notes.Note) -> None:
        """Keep a note."""
        self.notes.append(packet)

    def take(self) -> list[notes.Note]:
        """Return what was kept, and forget it."""
        kept, self.notes = self.notes, []
        return kept


@dataclass(frozen=True)
class PublishingPolicy:
    """What publication depends on."""

    association: str
    tells: bool  #: there is a coordinator
    durable: bool  #: it tracks studies
    tells_events: bool
    moves: bool  #: the source will be removed


def stored(found: Published, octets: int, packet: packets.Stored | None) -> dict[str, Any]:
    """Return the outcome of an object that is published, and was written with so many octets."""
    outcome: dict[str, Any] = {"result": STORED, "directory": found.directory, "file": found.file, "size": octets,
                               "reason": found.warning}
    if packet is not None:
        outcome["packet"] = packet
    if found.duplicate is not None:
        outcome["reason"] = found.warning or f"duplicate: {found.duplicate.value}"
        outcome["unsafe"] = found.duplicate is OnDuplicate.KEEP  # the source may be another one
    return outcome


class Publisher:
    """Publishes the objects of one worker process."""

    def __init__(self, policy: PublishingPolicy, caller: Caller, output_directory: str) -> None:
        self._policy = policy
        self._caller = caller
        self._notes = Notes()
        self._output_directory = output_directory
        self._outcomes = Outcomes(policy.association, caller, None, self._notes if policy.tells_events else None)  # type: ignore[arg-type]

    @property
    def moves(self) -> bool:
        """Whether sources will be removed."""
        return self._policy.moves

    def publish(self, prepared: Prepared, item: dict[str, Any]) -> dict[str, Any]:
        """Publish an object in the directory that the coordinator has chosen; return what became of it."""
        reception = prepared.reception
        if prepared.state != READY or reception is None:
            return {"result": prepared.state, "reason": prepared.reason}
        try:
            return self._publish(prepared, reception, item)
        finally:
            prepared.discard()

    def _publish(self, prepared: Prepared, reception: Reception, item: dict[str, Any]) -> dict[str, Any]:
        if item.get("status"):
            failed = StorageError if item["status"] >> 8 == status.OUT_OF_RESOURCES >> 8 else InstanceError
            reception.fail(failed(item["message"], status=item["status"]))
        directory = item.get("directory")
        published = self._adopted(item) if reception.failure is None else None
        became: Published | Kept | None = published
        if published is None:
            became = self._named(prepared, reception, directory, late=item.get("late", True))
        duration_s = time.monotonic() - prepared.started
        if reception.unsure is not None:  # it has its name, which may not be on the disk
            return {"result": REFUSED, "reason": f"failed when it had its name: {reception.unsure}"}
        if reception.failure is not None:
            return self._failed(reception, became, duration_s)
        found = became if isinstance(became, Published) else Published("", "", replaced=False)  # --ignore
        if became is not None and published is None:
            log_published(found)
        packet = None
        if self._policy.tells:
            packet = telling.stored(reception, found, self._policy.association, telling.Numbers(0), duration_s)
        return stored(found, reception.size if found.written else 0, packet)

    def _named(self, prepared: Prepared, reception: Reception, directory: str | None, *, late: bool) -> Published | Kept | None:
        if self._policy.durable and late:
            result(reception.comparing(directory))
        if self._policy.moves and prepared.sink is not None and reception.failure is None:
            try:
                prepared.sink.flush()
            except StorageError as error:
                reception.fail(error)
        published = result(reception.publishing(directory, datetime.datetime.now()))  # noqa: DTZ005 - names carry local time
        if reception.failure is None:
            return published
        return result(reception.keeping(self._caller.fields()))

    def _adopted(self, item: dict[str, Any]) -> Published | None:
        """Return where the object is already that an earlier run published without telling anybody; None: it is not."""
        file, directory = item.get("file"), item.get("directory")
        if file is None or directory is None:
            return None
        try:
            there = os.stat(os.path.join(directory, file), follow_symlinks=False)
        except OSError:
            return None
        return Published(directory, file, replaced=False) if there.st_ino == item["inode"] else None

    def _failed(self, reception: Reception, became: Published | Kept | None, duration_s: float) -> dict[str, Any]:
        failure = reception.failure
        if isinstance(became, Kept):
            self._outcomes.kept(reception, became, duration_s)
            outcome = {"result": QUARANTINED, "target": f"{became.directory}/{became.file}", "reason": str(became.refusal)}
        else:
            self._outcomes.refused(reception, duration_s)
            outcome = {"result": REFUSED, "reason": str(failure)}
        return outcome | {"notes": self._notes.take()}

    def sync_directories(self, directories: set[str]) -> None:
        """Wait until the file system has the names in ``directories``. Raises StorageError."""
        for directory in directories:
            try:
                descriptor = os.open(directory or self._output_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise storage_error("sync", directory, error) from error
