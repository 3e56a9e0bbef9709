"""The express lane: C-STORE requests that came whole in one read and need no decision, stored by the compiled core.

Strategy: where nobody wants to know of objects and nothing about them is unusual, what ``StorageService`` does for each
is always the same. ``core.Lane`` does that below Python, from the octets that were read to the file and the answer. It
leaves alone whatever it cannot store at once, before anything of it is done, and the usual way begins there.

Invariant: with the lane or without it files, answers, counts and logs are the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace

from fastscp import core
from fastscp.config.network import FaultPolicy
from fastscp.dicom import filemeta
from fastscp.dicom.rewriter import output_transfer_syntax
from fastscp.dicom.uids import VERIFICATION, file_name_prefix, transfer_syntax
from fastscp.log.names import APPLICATION
from fastscp.store.policy import FileNames, OnDuplicate, Sync
from fastscp.ul.events import Established
from fastscp.worker.context import ConnectionContext, ReceptionContext, ServiceContext
from fastscp.worker.counting import measured
from fastscp.worker.flow import Lane
from fastscp.worker.reporting import OpenDirectories, ReportingLane, Speaker, Telling

_log = logging.getLogger(APPLICATION)
_directories = OpenDirectories()  #: of this process


def depot_of(context: ServiceContext) -> core.Depot | None:
    """Return where the express lanes of a worker put objects; None where every object needs more than storing."""
    if context.hooks_first or context.group is not None or (context.durable and not context.places):
        return None
    return None if context.faults != FaultPolicy() else depot_for(context.reception)


def depot_for(reception: ReceptionContext) -> core.Depot | None:
    """Return where the compiled core puts what is received so; None where every object needs more than storing."""
    store = reception.store
    if not core.ACTIVE or store.ignore or store.file_names is not FileNames.INSTANCE_UID:
        return None
    if reception.digest or reception.own.instances_concerned:
        return None
    if store.on_duplicate is not OnDuplicate.REPLACE or store.sync is not Sync.NONE or store.min_free is not None:
        return None
    if "_" in store.extension:  # other UIDs may be cleaned to the same name
        return None
    return core.Depot(reception.directory, os.fsencode(reception.directory.path), os.fsencode(store.extension),
                      files=reception.output.file_format, preserving=reception.output.bit_preserving,
                      shapes=reception.shapes, most_octets=store.max_object_octets)


def nothing_is_narrated() -> bool:
    """Tell whether nothing is logged of objects that are stored as usual."""
    return not _log.isEnabledFor(logging.INFO)


def with_lanes(context: ConnectionContext) -> ConnectionContext:
    """Return a context, and those of its sections, with where the express lanes put objects."""
    sections = context.sections
    if sections is not None:
        sections = replace(sections, contexts={name: with_lanes(own) for name, own in sections.contexts.items()})
    return replace(context, depot=depot_of(context.service), sections=sections)


def lane_of(depot: core.Depot, service: ServiceContext, connection: Speaker, event: Established,
            max_length: int) -> Lane | None:
    """Return the express lane of an association; None where its objects are written about in the log."""
    reception, reporter = service.reception, service.reporter
    if not nothing_is_narrated():
        return None
    contexts = {number: (context.transfer_syntax, output_transfer_syntax(context.transfer_syntax, reception.output))
                for number, context in event.contexts.items() if context.abstract_syntax != VERIFICATION}
    if not reception.output.bit_preserving:  # what is recognised is not deflated yet
        contexts = {number: syntaxes for number, syntaxes in contexts.items()
                    if not any(transfer_syntax(uid).deflated for uid in syntaxes)}
    lane = core.Lane(depot, contexts, _describer(contexts, event.request.calling_ae_title), max_length=max_length,
                     peer_max_length=event.request.max_pdu_length, tells=reporter is not None, sorts=service.places)
    lane.directory = reception.store.output_directory
    if reporter is None:
        return measured(lane, event, service.measures, connection)
    syntaxes = {number: out for number, (_, out) in contexts.items()}
    telling = ReportingLane(lane, connection, service, Telling(reporter, _directories, syntaxes))
    return measured(telling, event, service.measures, connection)


def _describer(contexts: dict[int, tuple[str, str]], calling_ae_title: str) -> Callable[[int, bytes], tuple[bytes, bytes, bytes]]:
    """Return what tells the begin of file names, and group 0002 around the instance's UID, for a context and SOP class."""

    def describe(number: int, sop_class: bytes) -> tuple[bytes, bytes, bytes]:
        prefix = file_name_prefix(sop_class.decode("ascii")).encode("ascii") + b"."
        return (prefix, *filemeta.around_instance(sop_class, contexts[number][1], calling_ae_title.encode("latin-1")))

    return describe
