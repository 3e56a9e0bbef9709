"""The manifest of a study in the store: all of its objects, and where they are. Pure.

It is made of the one before and of what has come since, and equal facts make equal octets, so that writing it twice changes nothing. An
object is one SOP instance with one digest; ``revision`` says with which manifest it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

SCHEMA: Final = 1
FIELDS: Final = ("sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "series_uid", "modality", "size", "sha256", "key")


class ManifestError(ValueError):
    """What is in the store under the key of a manifest is none."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says."""

    study_uid: str
    sender: str
    revision: int
    objects: tuple[Mapping[str, Any], ...]

    def encoded(self) -> bytes:
        """Return it as JSON."""
        series = len({entry["series_uid"] for entry in self.objects})
        return orjson.dumps(
            {"schema": SCHEMA, "study_uid": self.study_uid, "sender": self.sender, "revision": self.revision,
             "counts": {"series": series, "objects": len(self.objects), "octets": sum(entry["size"] for entry in self.objects)},
             "objects": list(self.objects)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def decoded(octets: bytes) -> Manifest:
    """Return what ``encoded`` made. Raises ManifestError."""
    try:
        content = orjson.loads(octets)
        if content["schema"] != SCHEMA:
            raise ManifestError(f"a manifest has schema {content['schema']}, this program knows {SCHEMA}")
        return Manifest(content["study_uid"], content["sender"], content["revision"], tuple(content["objects"]))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ManifestError(f"a manifest cannot be understood: {error}") from error


def following(before: Manifest | None, study_uid: str, sender: str, revision: int, objects: Iterable[Mapping[str, Any]]) -> Manifest | None:
    """Return the manifest after ``before``, of at least that revision; None where there is nothing new.

    What is known already stays as it is.
    """
    known = {} if before is None else {_identity(entry): entry for entry in before.objects}
    number = max(revision, 1, 0 if before is None else before.revision + 1)
    new = {_identity(entry): {**{name: entry[name] for name in FIELDS}, "revision": number}
           for entry in objects if _identity(entry) not in known}
    if not new:
        return None
    return Manifest(study_uid, sender, number, tuple(sorted([*known.values(), *new.values()], key=_order)))


def _identity(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["series_uid"], entry["sop_instance_uid"], entry["sha256"]


def _order(entry: Mapping[str, Any]) -> tuple[str, str, int, str]:
    return entry["series_uid"], entry["sop_instance_uid"], entry["revision"], entry["sha256"]
