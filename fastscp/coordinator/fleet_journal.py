"""What the fleet is to know of this gateway's studies: entries in the durable state, until they are shipped.

Strategy: whoever changes a study adds an entry, in the transaction of that change. ``fastscp.fleet`` reads the entries beside
the coordinator and carries them to the database that the fleet shares (``coordinator.shipping`` starts it). There are five kinds:

``hold``     this gateway has the study open, or begins to; it is written before the first object of it is placed
``object``   an object was stored
``final``    where objects of a study are after its local end: renamed, moved
``release``  this gateway has the study open no more
``in_store`` the object store has an object

Invariants: entries are in the order of what they tell, numbered without end; the numbers of one *epoch*, which is one process
that writes, are never given twice. An entry is dropped when the database has it, and not before. Without a fleet there is no
journal and nothing of this costs anything.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from fastscp import jsontext
from fastscp.study.state import ObjectRow

HOLD: Final = "hold"
OBJECT: Final = "object"
FINAL: Final = "final"
RELEASE: Final = "release"
IN_STORE: Final = "in_store"
#: entries that wait before further objects have to wait, too: about a gigabyte
MOST_WAITING: Final = 1_000_000
_CALLER: Final = ("calling_aet", "called_aet", "peer", "peer_host", "port", "sender")


class Entries(Protocol):
    """What the journal needs of the durable state."""

    def entries_waiting(self) -> tuple[int, int]:
        """Return how many entries are kept, and the highest number."""

    def add_entry(self, number: int, epoch: str, kind: str, body: bytes) -> None:
        """Keep an entry."""

    def drop_entries(self, number: int) -> None:
        """Drop the entries up to that number."""


class FleetJournal:
    """Writes entries. ``epoch`` names this process."""

    def __init__(self, state: Entries, *, epoch: str | None = None) -> None:
        self.epoch = epoch or uuid.uuid4().hex
        self._state = state
        count, self.last = state.entries_waiting()
        self._dropped = self.last - count  #: number of the last entry that is not kept any more
        self._open: set[int] = set()  #: numbers of studies
        self._finishing: Counter[int] = Counter()  #: ends of each whose files are not finished

    def _add(self, kind: str, body: Mapping[str, Any]) -> None:
        self.last += 1
        self._state.add_entry(self.last, self.epoch, kind, jsontext.dumps(body))

    def hold(self, study: int, key: str, uid: str, timeout_s: float | None) -> None:
        """Tell that a study is open here, ``study`` is its number; repeating it changes nothing."""
        self._open.add(study)
        self._add(HOLD, {"number": study, "key": _text(key), "study_uid": _text(uid), "timeout_s": timeout_s or 0})

    def stored(self, study: int, key: str, uid: str, timeout_s: float | None, packet: Mapping[str, Any],
               opened: Mapping[str, Any]) -> None:
        """Tell of an object."""
        self._add(OBJECT, {"number": study, "key": _text(key), "study_uid": _text(uid), "timeout_s": timeout_s or 0,
                           "caller": {name: _text(value) if isinstance(value := opened.get(name, ""), str) else value
                                      for name in _CALLER},
                           "objects": [_object(packet, packet["directory"], packet["file"])]})

    def final(self, study: int, key: str, directory: str, page: Iterable[tuple[ObjectRow, Mapping[str, Any]]]) -> None:
        """Tell where objects of a study are from now on, each with its ``stored`` packet."""
        objects = [_object(stored, directory, row.name) for row, stored in page]
        if objects:
            self._add(FINAL, {"number": study, "key": _text(key), "objects": objects})

    def ended(self, study: int) -> None:
        """Take note that a study is open no more; its files are still to be finished."""
        self._open.discard(study)

    def finishing(self, study: int) -> None:
        """Take note that files of a study are to be finished."""
        self._finishing[study] += 1

    def finished(self, study: int, key: str, reason: str) -> None:
        """Take note that files of a study are finished: it is released, unless it was opened again meanwhile."""
        self._finishing[study] -= 1
        self._release(study, key, reason)

    def void(self, study: int, key: str) -> None:
        """Take note that a study was dropped, or is ended as before, because no object of it came."""
        self._open.discard(study)
        self._release(study, key, "void")

    def _release(self, study: int, key: str, reason: str) -> None:
        if study in self._open or self._finishing[study] > 0:
            return
        del self._finishing[study]
        self._add(RELEASE, {"number": study, "key": _text(key), "reason": reason})

    def confirmed(self, key: str, sop_instance: str, sha256: str, store_key: str) -> None:
        """Tell that the object store has an object, and under which key."""
        self._add(IN_STORE, {"key": _text(key), "sop_instance_uid": _text(sop_instance), "sha256": sha256, "store_key": store_key})

    @property
    def waiting(self) -> int:
        """How many entries the database does not have yet, as far as is known."""
        return self.last - self._dropped

    def shipped(self, number: int) -> bool:
        """Drop the entries up to that number: the database has them. Return whether there were any."""
        if number <= self._dropped:
            return False
        self._state.drop_entries(number)
        self._dropped = number
        return True


def _object(stored: Mapping[str, Any], directory: str, file: str) -> dict[str, Any]:
    return {"sop_instance_uid": _text(stored["sop_instance"]), "sha256": stored["sha256"] or "", "path": f"{directory}/{file}",
            "size": stored["size"], "sop_class_uid": _text(stored["sop_class"]),
            "transfer_syntax_uid": _text(stored["transfer_syntax"]), "series_uid": _text(stored["series"]),
            "modality": _text(stored["modality"])}


def _text(text: str) -> str:
    """Return a text of a peer as a database takes it: without the one character that it has no place for."""
    return text.replace("\0", "")
