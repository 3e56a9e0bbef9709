"""Manifests of a gateway that is alone: its own ends of studies are those that count."""

from __future__ import annotations

from collections.abc import Iterable

from fastscp.objects import manifests
from fastscp.objects.journal import Complete, UploadReader
from fastscp.study.naming import of_study_key


class OwnEnds:
    """The ends in the ``journal``."""

    pause_s = 0.25  #: between two looks

    def __init__(self, journal: UploadReader, store: manifests.Shelf, prefix: str) -> None:
        self._journal = journal
        self._store = store
        self._prefix = prefix
        self._after = 0

    def look(self, known: Iterable[int]) -> list[Complete]:
        """Return what is to be written now, of some ends."""
        found, self._after = self._journal.complete(self._after, set(known))
        return found

    def write(self, complete: Complete) -> list[int]:
        """Write a manifest; return which ends need none any more."""
        sender, uid = of_study_key(complete.key)
        manifests.write(self._store, self._prefix, sender, uid, complete.revision, complete.objects)
        return list(complete.parts)
