"""What a batch of entries comes to, before the database is asked. Pure.

The order of entries matters for one gateway's number of a study, and for one path; what is left of both is their last word.
So a batch is a few sets, and each is one statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastscp.study.naming import of_study_key


class Told(Protocol):
    """An entry."""

    @property
    def kind(self) -> str:
        """Which: ``hold``, ``object``, ``final``, ``release`` or ``in_store``."""

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""


@dataclass
class Batch:
    """Sets of rows, in the order in which they are to be written."""

    studies: dict[str, dict[str, Any]] = field(default_factory=dict)  #: by key; those that are to stay open
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  #: by key and path: new ones
    finals: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)  #: by key, instance and digest
    in_store: dict[tuple[str, str, str], str] = field(default_factory=dict)  #: key there, by key, instance and digest
    holds: dict[int, str | None] = field(default_factory=dict)  #: key by number; None: it is released


def batch_of(entries: Iterable[Told]) -> Batch:
    """Return what entries come to."""
    batch = Batch()
    for entry in entries:
        body = entry.body
        key = body["key"]
        if entry.kind == "hold":
            _open(batch, body)
            batch.holds[body["number"]] = key
        elif entry.kind == "object":
            _open(batch, body)
            for row in body["objects"]:
                batch.objects.pop((key, row["path"]), None)  # it comes again, in its new place
                batch.objects[key, row["path"]] = {**row, "key": key}
        elif entry.kind == "final":
            _open(batch, body)
            for row in body["objects"]:
                batch.finals[key, row["sop_instance_uid"], row["sha256"]] = {**row, "key": key}
        elif entry.kind == "release":
            batch.holds[body["number"]] = None
        elif entry.kind == "in_store":
            batch.in_store[key, body["sop_instance_uid"], body["sha256"]] = body["store_key"]
    return batch


def _open(batch: Batch, body: dict[str, Any]) -> None:
    sender, uid = of_study_key(body["key"])
    row = batch.studies.setdefault(body["key"], {"key": body["key"], "study_uid": uid, "sender": sender, "timeout_s": 0,
                                                 "caller": None})
    row["timeout_s"] = max(row["timeout_s"], body.get("timeout_s", 0))
    row["caller"] = body.get("caller") or row["caller"]
