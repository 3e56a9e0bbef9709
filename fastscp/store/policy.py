"""How files are named and published."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FileNames(enum.Enum):
    """``-uf``, ``+uf`` and ``-tn``."""

    INSTANCE_UID = "instance-uid"
    UNIQUE = "unique"
    TIME = "time"


@dataclass(frozen=True)
class StorePolicy:
    """Where and under which names instances are published."""

    output_directory: str = "."  #: ``-od`` as given, minus trailing slashes
    file_names: FileNames = FileNames.INSTANCE_UID
    extension: str = ""  #: ``-fe``, appended as it is
    ignore: bool = False  #: ``--ignore``: receive, answer, store nothing
    quarantine: str | None = None  #: where objects are kept that cannot be stored; None: they are refused
    uid_padding: bool = False  #: ``-up``: strip space padding of UIDs without a warning
