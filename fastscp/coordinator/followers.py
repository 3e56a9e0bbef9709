"""Who follows what is done to files: the index of storage commitment, and the journal of an object store, where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastscp.coordinator.index import Index
from fastscp.coordinator.tasks import Plan
from fastscp.coordinator.upload_journal import UploadJournal
from fastscp.process import packets
from fastscp.study.state import ObjectRow


class Followers:
    """Those that there are; each hears everything."""

    def __init__(self, index: Index | None = None, uploads: UploadJournal | None = None) -> None:
        self._index = index
        self._uploads = uploads

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return self._index is not None or self._uploads is not None

    def stored(self, packet: packets.Stored, sender: str) -> None:
        """Tell of an object; its file takes the place of what had its name."""
        if self._index is not None:
            self._index.stored(packet)
        if self._uploads is not None:
            self._uploads.stored(packet, sender)

    def renamed(self, directory: str, names: Iterable[tuple[str, str]]) -> None:
        """Tell the new names of files of a directory."""
        for follower in (self._index, self._uploads):
            if follower is not None:
                follower.renamed(directory, names)

    def moved(self, old: str, new: str) -> None:
        """Tell the new name of a directory."""
        for follower in (self._index, self._uploads):
            if follower is not None:
                follower.moved(old, new)

    def repeated(self, plan: Plan, file: str, kept: str, stored: Mapping[str, Any]) -> None:
        """Tell that a file of a study was removed, because its octets are in another, or in the store."""
        if self._index is not None:
            self._index.removed(plan.directory, file)
        if self._uploads is not None:
            self._uploads.repeated(plan.directory, file, kept, stored["sop_instance"], plan.key, stored["sha256"] or "")

    # -- the object store alone -------------------------------------------------------------------

    def may_leave(self, directory: str) -> bool:
        """Whether somebody else may take the files of a directory."""
        return self._uploads is None or self._uploads.may_leave(directory)

    def is_away(self, key: str, stored: Mapping[str, Any]) -> bool:
        """Whether an object came before, and the store alone has it."""
        return self._uploads is not None and self._uploads.is_away(key, stored)

    def ended(self, study: int, plan: Plan, pages: Iterable[tuple[list[tuple[ObjectRow, Mapping[str, Any]]], bool]]) -> Iterator[float]:
        """Tell of an end and its files, a page at a time; what else belongs to it follows in the step of the last one."""
        if self._uploads is None:
            return
        end = self._uploads.begin_end()
        for page, more in pages:
            self._uploads.belong(end, plan.final_directory, [row.name for row, _ in page])
            if more:
                yield 0.0
        self._uploads.ended(end, study, plan)
