"""What the coordinator is told of an object that is published."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

from fastscp.dicom import uid_value
from fastscp.process import packets
from fastscp.store.policy import OnDuplicate
from fastscp.worker.publication import Published
from fastscp.worker.reception import MODALITY, SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, Reception


class Numbers(NamedTuple):
    """The number of an event, and of the request for the place of its object; ``keeps``: its transfer goes on."""

    event: int
    request: int | None = None
    keeps: bool = False


class Unseen(NamedTuple):
    """What the compiled core tells of an object that it stored; values as they are in the data set."""

    sop_class: bytes
    sop_instance: bytes
    file: bytes
    size: int
    replaced: bool
    study: bytes
    series: bytes
    modality: bytes
    directory: str
    transfer_syntax: str  #: of the file
    duration_s: float


def stored_unseen(seen: Unseen, numbers: Numbers, association: str) -> packets.Stored:
    """Return the packet of an object that the compiled core stored."""
    event, request, keeps = numbers
    return {
        "kind": "stored", "event": event, "request": request, "keeps": keeps, "association": association,
        "directory": seen.directory, "file": os.fsdecode(seen.file),
        "sop_class": seen.sop_class.decode("ascii"), "sop_instance": seen.sop_instance.decode("ascii"),
        "study": uid_of(seen.study), "series": uid_of(seen.series), "modality": _text(seen.modality),
        "prefix": seen.file.partition(b".")[0].decode("ascii"), "transfer_syntax": seen.transfer_syntax, "size": seen.size,
        "duration_s": round(seen.duration_s, 6), "replaced": seen.replaced, "unchanged": False,
        "duplicate": OnDuplicate.REPLACE.value if seen.replaced else None, "sha256": None,
    }


@lru_cache(64)
def uid_of(value: bytes) -> str:
    """Return the UID that a value of a data set is."""
    return packets.bounded(uid_value.meant(value).decode("latin-1"))


@lru_cache(64)
def _text(value: bytes) -> str:
    return packets.bounded(value.decode("latin-1").strip("\0 "))


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
