"""The books of a run: tally, journal and report, and the removal of sources that are safe.

Invariants: outcomes are entered in the order of the sources; a source is removed only when the journal says what became
of it, and only while its path still names the file that was read.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from fastscp.ingest.journal import Entry, Intent, Journal
from fastscp.ingest.policy import Placement
from fastscp.ingest.report import Report
from fastscp.ingest.sources import ARCHIVE, WHOLE, Kind, Source, packed_path, shown
from fastscp.ingest.tally import Tally
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)


class Books:
    """Everything that is written down. Without a ``journal`` nothing is remembered."""

    def __init__(self, journal: Journal | None, report: Report | None, placement: Placement) -> None:
        self.tally = Tally()
        #: what an earlier run had begun to publish, with the name of the file that is there, None for none
        self.adopted: dict[tuple[str, int], tuple[Intent, str | None]] = {}
        self._journal = journal
        self._report = report
        self._moves = placement is Placement.MOVE
        self._removable: list[tuple[str, list[int], str]] = []
        self._failed_archives: set[str] = set()

    # -- an earlier run ---------------------------------------------------------------------------

    def known(self, path: str, number: int) -> bool:
        """Tell whether a source need not be read; count it."""
        if self._journal is None or not self._journal.resumed:
            return False
        target = self._journal.done(path, number)
        if target is None:
            return False
        self.tally.known += 1
        if self._moves and number == WHOLE and target:
            status = os.lstat(path)
            self._remove(path, [status.st_dev, status.st_ino], target)
        return True

    def members_done(self, path: str) -> list[list[int]]:
        """Return which members of an archive need not be read; count them."""
        if self._journal is None or not self._journal.resumed:
            return []
        ranges = self._journal.members_done(path)
        self.tally.known += sum(last - first + 1 for first, last in ranges)
        return ranges

    def find_published(self) -> None:
        """Find out which objects were published when the last run was cut off, and perhaps not told of.

        Where one object of a directory was, the others of that directory belong there too, also one whose file was
        replaced by a later one since: they keep their places and the order of their events.
        """
        if self._journal is None:
            return
        intents = self._journal.intents()
        files = {directory: _names_by_inode(directory) for directory in {one.directory for one in intents}}
        # a number is given again once its file is gone: what was intended last has the file
        owners = {(one.directory, one.inode): (one.path, one.number) for one in intents if one.inode}
        used = {one.directory for one in intents if one.inode and one.inode in files[one.directory]}
        for one in intents:
            source = one.path, one.number
            if one.directory in used:
                own = owners.get((one.directory, one.inode)) == source
                self.adopted[source] = one, files[one.directory].get(one.inode) if own else None
        self._journal.replace_intents(one if file is not None else one._replace(inode=0) for one, file in self.adopted.values())

    # -- this one ---------------------------------------------------------------------------------

    def enter(self, source: Source, facts: dict[str, Any], outcome: dict[str, Any]) -> None:
        """Enter what became of a source."""
        if source.kind is Kind.END:
            self._enter_archive(source, facts)
            return
        result, target, reason = outcome["result"], outcome.get("target") or "", outcome.get("reason") or ""
        self.tally.count(result, outcome.get("size", 0))
        if result == "refused":
            _log.error("%s: %s", source, reason)
            self._failed_archives.add(source.path)
        elif result == "not-dicom":
            _log.warning("not DICOM: %s", source)
        if self._report is not None:
            self._report.add(str(source), result, shown(target, None), reason)
        if self._journal is not None:
            member = os.fsencode(source.member) if source.member else b""
            self._journal.enter(Entry(os.fsencode(source.path), source.number, facts.get("size", -1), facts.get("mtime", -1),
                                      result, target, reason, member))
        if self._moves and result == "stored" and source.number == WHOLE and not outcome.get("unsafe"):
            self._removable.append((source.path, facts["identity"], target))

    def _enter_archive(self, source: Source, facts: dict[str, Any]) -> None:
        """Enter that an archive need not be opened again, unless something of it was refused."""
        failed = source.path in self._failed_archives
        self._failed_archives.discard(source.path)
        if self._journal is not None and not failed and "size" in facts:
            self._journal.enter(Entry(os.fsencode(source.path), ARCHIVE, facts["size"], facts["mtime"], "archive"))

    def intend(self, intents: list[Intent]) -> int:
        """Keep what is about to be published, and everything entered so far; return the number of the group."""
        if self._journal is None:
            return 0
        group = self._journal.intend(intents)
        self.commit()
        return group

    def over(self, group: int) -> None:
        """Forget the intents of a group: all of it is settled."""
        if self._journal is not None:
            self._journal.over(group)

    def commit(self) -> None:
        """Make certain what was entered; then remove sources. Raises ProcessError where the report cannot be written."""
        if self._report is not None:
            self._report.flush()
        if self._journal is not None:
            self._journal.commit(None if self._report is None else (packed_path(self._report.path), self._report.octets))
        removable, self._removable = self._removable, []
        for path, identity, target in removable:
            self._remove(path, identity, target)

    def _remove(self, path: str, identity: list[int], target: str) -> None:
        """Remove a source, if its path still names the file that was read, and is not the object itself."""
        try:
            status = os.lstat(path)
            if [status.st_dev, status.st_ino] == identity and os.path.lexists(target) and not _same_name(path, target):
                os.unlink(path)
        except OSError as error:
            _log.error("%s: stored, and cannot be removed: %s", shown(path, None), error.strerror)
            self.tally.unmoved += 1

    def close(self) -> None:
        """Close the books; what was not committed is not written down."""
        if self._report is not None:
            self._report.close()
        if self._journal is not None:
            self._journal.close()


def _same_name(path: str, target: str) -> bool:
    return os.path.basename(path) == os.path.basename(target) and os.path.samefile(
        os.path.dirname(path) or ".", os.path.dirname(target) or ".")


def _names_by_inode(directory: str) -> dict[int, str]:
    """Return the files of a directory by their numbers."""
    try:
        with os.scandir(directory) as entries:
            return {entry.inode(): entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except OSError:
        return {}


def reported(entry: Entry) -> tuple[str, str, str, str]:
    """Return a line of the report for what an earlier run did."""
    member = os.fsdecode(entry.member) if entry.number >= 0 else None
    return shown(os.fsdecode(entry.path), member), entry.result, shown(entry.target, None), entry.reason


