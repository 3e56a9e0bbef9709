"""What an object store is to get of this service: written into the durable state as files come, go to other names, and belong to ends.

Strategy: whoever does something to a file tells it here, in the transaction of that change; ``fastscp.objects`` reads it beside the
coordinator and carries it out (``coordinator.uploading`` starts it). A study that is moved away waits until the store has its files: where
they are then, somebody else may take them. In a fleet the database is told what the store has, by the fleet's journal.

Invariant: every file that is acknowledged has its row, until the store has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastscp import jsontext
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.tasks import Plan
from fastscp.coordinator.upload_rows import UploadRows
from fastscp.process import packets
from fastscp.study import naming

_FIELDS: Final = {"sop_instance_uid": "sop_instance", "sop_class_uid": "sop_class", "transfer_syntax_uid": "transfer_syntax",
                  "series_uid": "series", "modality": "modality"}


class UploadJournal:
    """Writes ``rows``. ``fleet`` is told what is confirmed."""

    def __init__(self, rows: UploadRows, fleet: FleetJournal | None = None) -> None:
        self.rows = rows
        self._fleet = fleet
        self._part = rows.last_part()

    def stored(self, packet: packets.Stored, sender: str) -> None:
        """Take in a file, if there is one (``--ignore``); it takes the place of what had its name."""
        if not packet["file"]:
            return
        body = jsontext.dumps({name: packet[field] for name, field in _FIELDS.items()})  # type: ignore[literal-required]
        self.rows.stored(naming.study_key(sender, naming.study_uid(packet["study"])), os.path.abspath(packet["directory"]),
                         packet["file"], packet["sha256"] or "", packet["size"], body)

    def renamed(self, directory: str, names: Iterable[tuple[str, str]]) -> None:
        """Follow files of a directory to their new names."""
        self.rows.renamed(os.path.abspath(directory), names)

    def moved(self, old: str, new: str) -> None:
        """Follow a directory."""
        self.rows.moved(os.path.abspath(old), os.path.abspath(new))

    def repeated(self, directory: str, file: str, kept: str, instance: str, key: str, sha256: str) -> None:
        """Take note that a file was removed: its octets are in ``kept``, or in the store alone."""
        away = self.rows.is_away(key, instance, sha256)
        self.rows.repeated(os.path.abspath(directory), file, None if away else os.path.split(os.path.abspath(kept)))

    def may_leave(self, directory: str) -> bool:
        """Whether the store has every file of a directory; what somebody took away is not waited for."""
        place = os.path.abspath(directory)
        return not any(os.path.lexists(os.path.join(place, name)) for name in self.rows.waiting_in(place))

    def is_away(self, key: str, stored: Mapping[str, Any]) -> bool:
        """Whether an object came before, and the store alone has it."""
        return bool(stored["sha256"]) and self.rows.is_away(key, stored["sop_instance"], stored["sha256"])

    # -- ends -------------------------------------------------------------------------------------

    def begin_end(self) -> int:
        """Return the number of an end whose files are told next."""
        self._part += 1
        return self._part

    def belong(self, part: int, directory: str, names: Iterable[str]) -> None:
        """Take note which files belong to an end."""
        self.rows.add_to_part(part, os.path.abspath(directory), names)

    def ended(self, part: int, study: int, plan: Plan) -> None:
        """Take note of an end, all of whose files and entries were told."""
        epoch, entry = ("", 0) if self._fleet is None else (self._fleet.epoch, self._fleet.last)
        self.rows.end(part, study, plan.key, plan.revision, os.path.abspath(plan.final_directory), epoch=epoch, entry=entry)

    # -- what the store has -----------------------------------------------------------------------

    def confirmed(self, number: int, identity: str, store_key: str) -> bool:
        """Take note that the store has a file; False where that was known, or is not wanted any more."""
        row = self.rows.confirm(number, identity)
        if row is not None and self._fleet is not None:
            self._fleet.confirmed(row["key"], row["sop_instance_uid"], row["sha256"], store_key)
        return row is not None

