"""Which object is number n: its study, its series, its UIDs, the association it goes over.

Objects are numbered from 0; an object's number is in its SOP Instance UID, so a file that is found says which one it is. UIDs
of N octets are::

    2.25.RRRRRRRRKNNNNNNNNNN        R: digits of the run, as many as there is room for; K: 1 instance, 2 series, 3 study

Behind 39 digits, more than which no UUID has (PS3.5 Annex B.2), a second component fills what is left.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

INSTANCE, SERIES, STUDY = 1, 2, 3
SHORTEST = 24  #: octets of a UID in which there is room for eight digits of the run
USUAL = 44  #: octets of a UID made of a UUID

_ROOT = "2.25."
_NUMBER_DIGITS = 10
_UUID_DIGITS = 39


def new_run() -> str:
    """Return the digits that tell this run's UIDs from all others."""
    return "1" + "".join(secrets.choice("0123456789") for _ in range(_UUID_DIGITS - 1))


def uid(run: str, kind: int, number: int, octets: int) -> bytes:
    """Return a UID of exactly so many octets, from ``SHORTEST`` to 64."""
    return _frame(run, kind, octets) % number


@lru_cache(maxsize=256)
def _frame(run: str, kind: int, octets: int) -> bytes:
    """Return what stands around the number, as a format."""
    room = octets - len(_ROOT)
    if room <= _UUID_DIGITS:
        digits, tail = room, ""
    else:
        digits = _UUID_DIGITS - 1
        tail = "." + "1" * (room - digits - 1)
    return f"{_ROOT}{run[:digits - _NUMBER_DIGITS - 1]}{kind}%0{_NUMBER_DIGITS}d{tail}".encode("ascii")


def number_of(run: str, found: str) -> tuple[int, int] | None:
    """Return kind and number of a UID of this run; None for another's."""
    digits = found.removeprefix(_ROOT).partition(".")[0]
    if not SHORTEST <= len(found) <= 64 or not digits.isdigit() or len(digits) <= _NUMBER_DIGITS:
        return None
    kind, number = int(digits[-_NUMBER_DIGITS - 1]), int(digits[-_NUMBER_DIGITS:])
    return (kind, number) if uid(run, kind, number, len(found)).decode("ascii") == found else None


@dataclass(frozen=True)
class Order:
    """How objects are put into series and studies, and over how many associations they go.

    ``studies`` None: as many as there is time for.
    """

    studies: int | None
    series: int
    objects: int
    associations: int
    per_association: int | None = None

    @property
    def total(self) -> int | None:
        """How many objects there are."""
        return None if self.studies is None else self.studies * self.series * self.objects

    def series_of(self, number: int) -> int:
        """Return the number of an object's series."""
        return number // self.objects

    def study_of(self, number: int) -> int:
        """Return the number of an object's study."""
        return number // (self.objects * self.series)

    def association(self, number: int) -> Iterator[int] | None:
        """Return the objects of an association by its number; None when there is no such association."""
        total, size = self.total, self.per_association
        if size is not None:
            first = number * size
            if total is None:
                return iter(range(first, first + size))
            return iter(range(first, min(first + size, total))) if first < total else None
        if number >= self.associations:
            return None
        if total is None:
            block = self.series * self.objects
            return (study * block + index for study in count(number, self.associations) for index in range(block))
        return iter(range(number * total // self.associations, (number + 1) * total // self.associations))
