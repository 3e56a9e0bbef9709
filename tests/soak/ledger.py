"""What was sent, what became of it, and every promise that was broken."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

BY_ITSELF = 20  #: so many pieces of evidence are kept of each promise


class Record:
    """One object."""

    __slots__ = ("acknowledged", "digest", "failed", "hook", "kind", "server", "stored", "study", "told", "unanswered", "waiting")

    def __init__(self, server: str, study: str, kind: str, digest: bytes) -> None:
        self.server = server
        self.study = study
        self.kind = kind
        self.digest = digest
        self.acknowledged = False  #: answered with success at least once
        self.unanswered = False  #: sent, and no answer came, at least once
        self.failed = False  #: answered with a failure at least once
        self.stored = False  #: found with the right octets
        self.waiting = 0  #: how often it is being sent
        self.hook = False  #: its reception hook ran
        self.told = time.monotonic()


class Promises:
    """Broken promises with their evidence; kept in a file as they come."""

    def __init__(self, file: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._file = file
        self._lock = threading.Lock()

    def broken(self, promise: str, evidence: str) -> None:
        """Note that a promise was not kept."""
        with self._lock:
            self.counts[promise] += 1
            if self.counts[promise] <= BY_ITSELF:
                with self._file.open("a", encoding="utf-8") as out:
                    out.write(f"{time.strftime('%H:%M:%S')} {time.monotonic():.3f} [{promise}] {evidence}\n")


class Ledger:
    """Every object of well-behaved senders. Used by one thread."""

    def __init__(self, promises: Promises) -> None:
        self.records: dict[str, Record] = {}
        self.counts: Counter[str] = Counter()
        self._promises = promises
        self._early: set[str] = set()  #: hooks may be heard of before their objects

    def sent(self, server: str, instance: str, study: str, kind: str, digest: bytes, size: int) -> None:
        """An object will be sent, perhaps not for the first time."""
        self.counts["sent"] += 1
        self.counts["octets sent"] += size
        self.counts[f"sent {kind}"] += 1
        if instance not in self.records:
            self.counts["objects"] += 1
            self.records[instance] = Record(server, study, kind, digest)
            self.records[instance].hook = instance in self._early
            self._early.discard(instance)
        elif not self.records[instance].acknowledged and not self.records[instance].waiting:
            self.records[instance].stored = False  # what was found of an earlier try was removed: it has to be found again
        self.records[instance].waiting += 1

    def outcome(self, instance: str, status: int | None) -> None:
        """An object was answered; None: it was not."""
        record = self.records[instance]
        record.told = time.monotonic()
        record.waiting -= 1
        if status is None:
            record.unanswered = True
            self.counts["unanswered"] += 1
        elif status == 0:
            if not record.acknowledged:
                self.counts["acknowledged"] += 1
            record.acknowledged = True
        else:
            record.failed = True
            self.counts["refused"] += 1
            self.counts[f"refused {status:04X}"] += 1

    def found(self, server: str, instance: str, digest: bytes, where: str) -> bool | None:
        """Take note of a file; tell whether it is as it should be, None while that cannot be said yet."""
        record = self.records.get(instance)
        if record is None:
            return None
        if record.server != server:
            self._promises.broken("nothing else is there", f"{where}: was sent to {record.server}")
            return False
        if digest != record.digest:
            self._promises.broken("unchanged", f"{where} has other octets than {record.kind} {instance}, which was sent")
            return False
        if record.failed and not (record.acknowledged or record.unanswered or record.waiting):
            return None  # perhaps it is being sent again, and nobody has told yet
        if not record.stored:
            self.counts["verified"] += record.acknowledged
            self.counts["stored without an answer"] += not record.acknowledged
        record.stored = True
        return True

    def strange(self, instance: str, where: str) -> None:
        """A file is still there about which nothing could be said."""
        record = self.records.get(instance)
        if record is None:
            self._promises.broken("nothing else is there", f"{where}: nobody sent it")
        else:
            self._promises.broken("a failed object leaves nothing", f"{where} was answered with a failure ({record.kind})")

    def hook_ran(self, instance: str) -> None:
        """A reception hook said which object it ran for."""
        record = self.records.get(instance)
        self.counts["reception hooks"] += 1
        if record is None:
            self._early.add(instance)
        else:
            record.hook = True

    def missing(self, hooked: set[str]) -> list[str]:
        """Return acknowledged objects that were not found, or whose hook did not run."""
        return [instance for instance, record in self.records.items() if record.acknowledged
                and not (record.stored and (record.hook or record.server not in hooked))]
