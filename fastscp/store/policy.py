"""How files are named and published."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FileNames(enum.Enum):
    """``-uf``, ``+uf`` and ``-tn``."""

    INSTANCE_UID = "instance-uid"
    UNIQUE = "unique"
    TIME = "time"


class OnDuplicate(enum.Enum):
    """``--on-duplicate``: what is done with an instance whose file name is taken."""

    REPLACE = "replace"  #: it takes the place of the earlier file
    KEEP = "keep"  #: the earlier file stays
    COMPARE = "compare"  #: an equal file stays, else as RENAME
    RENAME = "rename"  #: it gets another name
    REFUSE = "refuse"


class Sync(enum.Enum):
    """``--sync``: what is on disk before an object is answered with success."""

    NONE = "none"
    OBJECT = "object"  #: the object and its name
    GROUP = "group"  #: the same, flushed together with objects that end at the same time


@dataclass(frozen=True)
class MinFree:
    """``--min-free``: so many octets, or so much of the file system."""

    text: str  #: as given
    octets: int = 0
    percent: float = 0.0

    def of(self, total: int) -> int:
        """Return how many octets of ``total`` these are."""
        return self.octets or int(total * self.percent / 100)


@dataclass(frozen=True)
class StorePolicy:
    """Where and under which names instances are published."""

    output_directory: str = "."  #: ``-od`` as given, minus trailing slashes
    file_names: FileNames = FileNames.INSTANCE_UID
    extension: str = ""  #: ``-fe``, appended as it is
    on_duplicate: OnDuplicate = OnDuplicate.REPLACE  #: of instances named by their UIDs
    ignore: bool = False  #: ``--ignore``: receive, answer, store nothing
    quarantine: str | None = None  #: where objects are kept that cannot be stored; None: they are refused
    sync: Sync = Sync.NONE
    min_free: MinFree | None = None  #: with less than that no object is begun; None: nobody looks
    max_object_octets: int = 0  #: ``--max-object-size``, of a data set as it is received; 0 for any number
    uid_padding: bool = False  #: ``-up``: strip space padding of UIDs without a warning
