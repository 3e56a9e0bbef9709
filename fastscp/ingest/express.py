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
from typing import Any, NamedTuple

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

_NAME = "ingest"


class Made(NamedTuple):
    """What the core says of a temporary that it has made, and of the source."""

    descriptor: int
    name: bytes  #: that it will have
    sop_class: bytes
    sop_instance: bytes
    octets: int
    inode: int
    source_octets: int
    source_mtime_ns: int
    source_device: int
    source_inode: int
    study: bytes  #: as it is in the data set, and so are the next two; empty where nobody looked
    series: bytes
    modality: bytes
    transfer_syntax: bytes


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
        made = self._files.prepare(os.fsencode(source.path), source.linked)
        if made is None:
            return None
        laid = Laid(self, source, Made(*made), begun)
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
            found = None if directory is not None else self._files.publish(laid.made.descriptor, laid.made.name)
            if found is None:
                return None
            directory, replaced = self._output_directory, found
        published = Published(directory, os.fsdecode(laid.made.name), replaced=replaced,
                              duplicate=OnDuplicate.REPLACE if replaced else None)
        log_published(published)
        packet = self._packet(laid, published) if self._policy.tells else None
        return stored(published, laid.made.octets, packet)

    def _packet(self, laid: Laid, published: Published) -> packets.Stored:
        made = laid.made
        seen = telling.Unseen(made.sop_class, made.sop_instance, made.name, made.octets, published.replaced, made.study, made.series,
                              made.modality, published.directory, output_transfer_syntax(made.transfer_syntax.decode("ascii"), self._output),
                              time.monotonic() - laid.begun)
        return telling.stored_unseen(seen, telling.Numbers(0), self._policy.association)

    def _publish_in(self, directory: str, laid: Laid) -> bool:
        place = self._directories.find(directory, _NAME)
        if place is not None:
            descriptor, device, inode = place
            if self._files.publish_in(laid.made.descriptor, laid.made.name, descriptor, os.fsencode(directory), device, inode):
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
    made: Made
    begun: float
    open: bool = True

    @property
    def study(self) -> str:
        """Study Instance UID; "" where nobody wants it."""
        return telling.uid_of(self.made.study)

    def facts(self) -> dict[str, Any]:
        """Return what the main process has to know."""
        made = self.made
        return {"state": READY, "reason": "", "size": made.source_octets, "mtime": made.source_mtime_ns,
                "identity": [made.source_device, made.source_inode], "failed": False, "instance": made.sop_instance.decode("ascii"),
                "study": self.study, "patient": "", "charset": "", "inode": made.inode}

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
            os.close(self.made.descriptor)


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
