"""Writes the manifest of a study into the store, behind the last one there is.

Invariants: a manifest is written after all of its objects are confirmed, and never changed. Who writes at the same time gets the next
revision, or finds that nothing is left to be said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from fastscp.objects import keys, manifest, parts
from fastscp.objects.store import DamagedError, StoreError, TakenError

_TRIES: Final = 16


class Shelf(Protocol):
    """What manifests need of the store."""

    def put(self, key: str, body: bytes, checksum: str, *, only_new: bool = True) -> str: ...  # noqa: D102
    def read(self, key: str) -> Iterator[bytes]: ...  # noqa: D102
    def keys(self, prefix: str) -> Iterator[str]: ...  # noqa: D102


class ContendedError(StoreError):
    """Others have written manifests of the study again and again."""


def write(store: Shelf, prefix: str, sender: str, study_uid: str, revision: int, objects: Iterable[Mapping[str, Any]]) -> str:
    """Have the store know that these objects belong to a study; return the key of the manifest, "" where it knew it.

    Raises StoreError, ManifestError.
    """
    objects = list(objects)
    for _ in range(_TRIES):
        before = _latest(store, keys.manifests_of(prefix, sender, study_uid))
        following = manifest.following(before, study_uid, sender, revision, objects)
        if following is None:
            return ""
        key = keys.manifest_key(prefix, sender, study_uid, following.revision)
        octets = following.encoded()
        checksum = parts.encoded(hashlib.sha256(octets).digest())
        try:
            said = store.put(key, octets, checksum)
        except TakenError:
            continue
        if said != checksum and b"".join(store.read(key)) != octets:
            store.put(key, octets, checksum, only_new=False)  # it is this one, damaged on its way
            if b"".join(store.read(key)) != octets:
                raise DamagedError(f"{key} arrived with other octets")
        return key
    raise ContendedError(f"manifest of study {study_uid}: others write it, too")


def _latest(store: Shelf, prefix: str) -> manifest.Manifest | None:
    """Return the manifest with the highest revision."""
    found = [(revision, key) for key in store.keys(prefix) if (revision := keys.revision_of(key)) is not None]
    if not found:
        return None
    return manifest.decoded(b"".join(store.read(max(found)[1])))
