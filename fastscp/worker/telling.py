"""What the coordinator is told of an object that is published."""

from __future__ import annotations

from typing import NamedTuple

from fastscp.process import packets
from fastscp.worker.publication import Published
from fastscp.worker.reception import MODALITY, SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, Reception


class Numbers(NamedTuple):
    """The number of an event, and of the request for the place of its object; ``keeps``: its transfer goes on."""

    event: int
    request: int | None = None
    keeps: bool = False


def stored(reception: Reception, published: Published, association: str, numbers: Numbers, duration_s: float) -> packets.Stored:
    """Return the packet of an object."""
    command = reception.command
    event, request, keeps = numbers
    return {
        "kind": "stored", "event": event, "request": request, "keeps": keeps, "association": association,
        "directory": published.directory, "file": published.file,
        "sop_class": command.affected_sop_class_uid, "sop_instance": command.affected_sop_instance_uid,
        "study": packets.bounded(reception.uid(STUDY_INSTANCE_UID)),
        "series": packets.bounded(reception.uid(SERIES_INSTANCE_UID)),
        "modality": packets.bounded(reception.text(MODALITY)), "prefix": reception.prefix,
        "transfer_syntax": reception.transfer_syntax_out, "size": reception.size,
        "duration_s": round(duration_s, 6), "replaced": published.replaced,
        "unchanged": not published.written or (published.replaced and reception.unchanged),
        "duplicate": None if published.duplicate is None else published.duplicate.value,
        "sha256": reception.digest,
    }
