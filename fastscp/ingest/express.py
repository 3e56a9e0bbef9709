"""The express lane of an ingest: files that need no decision, made ready and named by the compiled core.

Strategy: of most files everything is known that is to be done when their first octets were looked at: meta information and
an encoding that are taken, a header like one that a reception has met (``core.Files``). What the lane leaves alone, before anything
of it was done, goes through a reception, which learns its header. So does what turns out to be unusual at its turn:
a repeat in the directory of a study, a name that cannot be given.

Invariant: with the lane or without it the tree, the report, the journal and what the coordinator hears are the same.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastscp import core
from fastscp.config import Config
from fastscp.dicom import filemeta, uids
from fastscp.dicom.rewriter import output_transfer_syntax
from fastscp.ingest import kernel
from fastscp.ingest.policy import IngestPolicy, Placement
from fastscp.ingest.preparing import READY
from fastscp.ingest.publishing import stored
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY
from fastscp.ingest.sources import Kind, Source
from fastscp.process import packets
from fastscp.store.policy import OnDuplicate
from fastscp.study.policy import Sorting
from fastscp.worker import telling
from fastscp.worker.context import ReceptionContext
from fastscp.worker.express import depot_for, nothing_is_narrated
from fastscp.worker.narration import log_published
from fastscp.worker.publication import Published
from fastscp.worker.reporting import OpenDirectories

if TYPE_CHECKING:
    from fastscp._core import Laid as Facts

_NAME = "ingest"


@dataclass(frozen=True)
class LanePolicy:
    """What the lane depends on besides the reception."""

    association: str
    calling_aet: str
    tells: bool  #: there is a coordinator
    places: bool  #: which chooses directories


class FileLane:
    """The lane of one worker process."""

    def __init__(self, depot: core.Depot, context: ReceptionContext, policy: LanePolicy) -> None:
        self._output = context.output
        self._output_directory = context.store.output_directory
        self._policy = policy
        self._source_title = policy.calling_aet.encode("latin-1")
        self._directories = OpenDirectories()
        self._files = core.Files(depot, self._syntaxes, self._describe, kernel.copy)

    def prepare(self, source: Source) -> Laid | None:
        """Make the temporary of a source; None where the usual way has to."""
        if source.kind is not Kind.FILE:
            return None
        begun = time.monotonic()
        facts = self._files.prepare(os.fsencode(source.path), source.linked)
        if facts is None:
            return None
        laid = Laid(self, source, facts, begun)
        if self._policy.places and not laid.study:
            laid.discard()
            return None
        return laid

    def publish(self, laid: Laid, item: dict[str, Any]) -> dict[str, Any] | None:
        """Give an object its name; return what became of it, None where the usual way has to."""
        if item.get("status") or "file" in item:
            return None
        directory, replaced = item.get("directory"), False
        if self._policy.places:
            if directory is None or item.get("late", True) or not self._publish_in(directory, laid):
                return None
        else:
            found = None if directory is not None else self._files.publish(laid.descriptor, laid.facts_of_core[1])
            if found is None:
                return None
            directory, replaced = self._output_directory, found
        published = Published(directory, os.fsdecode(laid.facts_of_core[1]), replaced=replaced,
                              duplicate=OnDuplicate.REPLACE if replaced else None)
        log_published(published)
        packet = self._packet(laid, published) if self._policy.tells else None
        return stored(published, laid.facts_of_core[4], packet)

    def _packet(self, laid: Laid, published: Published) -> packets.Stored:
        _, name, sop_class, instance, size, _, _, _, _, _, study, series, modality, syntax = laid.facts_of_core
        seen = telling.Unseen(sop_class, instance, name, size, published.replaced, study, series, modality, published.directory,
                              output_transfer_syntax(syntax.decode("ascii"), self._output), time.monotonic() - laid.begun)
        return telling.stored_unseen(seen, telling.Numbers(0), self._policy.association)

    def _publish_in(self, directory: str, laid: Laid) -> bool:
        place = self._directories.find(directory, _NAME)
        if place is not None and self._files.publish_in(laid.descriptor, laid.facts_of_core[1], place[0], os.fsencode(directory), *place[1:]):
            return True
        self._directories.forget(directory)  # another may be there now
        return False

    def _syntaxes(self, uid: str) -> tuple[tuple[str, str], bool] | None:
        """Return the transfer syntaxes of files that name this one, as read and as written; None for what is not taken."""
        syntax = uids.transfer_syntax(uid)
        written = output_transfer_syntax(uid, self._output)
        if not syntax.little_endian or syntax.deflated or uids.transfer_syntax(written).deflated:
            return None
        return (uid, written), syntax.explicit_vr

    def _describe(self, sop_class: str, uid: str) -> tuple[bytes, bytes, bytes] | None:
        """Return the begin of file names, and group 0002 around the instance's UID; None for what is not taken."""
        if sop_class == MEDIA_STORAGE_DIRECTORY:
            return None
        written = output_transfer_syntax(uid, self._output)
        return (uids.file_name_prefix(sop_class).encode("ascii") + b".",
                *filemeta.around_instance(sop_class.encode("ascii"), written, self._source_title))


@dataclass(slots=True)
class Laid:
    """An object of the lane: the temporary waits for its name."""

    lane: FileLane
    source: Source
    facts_of_core: Facts
    begun: float
    open: bool = True

    @property
    def descriptor(self) -> int:
        """Of the temporary."""
        return self.facts_of_core[0]

    @property
    def study(self) -> str:
        """Study Instance UID; "" where nobody wants it."""
        return telling.uid_of(self.facts_of_core[10])

    def facts(self) -> dict[str, Any]:
        """Return what the main process has to know."""
        _, _, _, instance, _, inode, size, mtime, device, source_inode, *_ = self.facts_of_core
        return {"state": READY, "reason": "", "size": size, "mtime": mtime, "identity": [device, source_inode], "failed": False,
                "instance": instance.decode("ascii"), "study": self.study, "patient": "", "charset": "", "inode": inode}

    def publish(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """Give it its name; return what became of it, None where the usual way has to. The temporary is given back."""
        try:
            return self.lane.publish(self, item)
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop it."""
        if self.open:
            self.open = False
            os.close(self.descriptor)


def lane_of(context: ReceptionContext, config: Config, policy: IngestPolicy, association: str) -> FileLane | None:
    """Return the lane of a worker; None where every object needs more."""
    places = config.keeps_studies
    if policy.placement is not Placement.COPY or policy.dry_run or not nothing_is_narrated():
        return None
    if places and config.study.sorting not in {Sorting.STUDY_UID, Sorting.CONCURRENT_STUDIES}:
        return None  # nobody chooses directories, or it takes the patient's name
    if config.needs_coordinator and context.output.bit_preserving:
        return None  # it takes values of the data set, which is not read then
    depot = depot_for(context)
    if depot is None:
        return None
    return FileLane(depot, context, LanePolicy(association, policy.calling_aet, config.needs_coordinator, places))
