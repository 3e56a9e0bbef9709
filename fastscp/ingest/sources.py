"""What is read: a file, a part of one, a member of an archive, or an archive from its beginning to its end.

A source is identified by the path as it was found and, in an archive, the number of the member: 0, 1, 2 in the order
of the archive. Paths are kept as the file system gives them (``os.fsdecode``); on the wire between processes they are
Latin-1 decoded octets.
"""

from __future__ import annotations

import enum
import os
from typing import Any, Final, NamedTuple

WHOLE: Final = -1  #: the number of a file that is no member
ARCHIVE: Final = -2  #: the number that stands for all of an archive


class Kind(enum.IntEnum):
    """How a source is read."""

    FILE = 0  #: at ``path``
    REGION = 1  #: ``size`` octets at ``offset`` of ``path``
    ZIPPED = 2  #: member ``number`` of the zip archive at ``path``
    STREAM = 3  #: every member of the tar archive at ``path``, in one go
    END = 4  #: nothing: whatever of the archive at ``path`` could be read stands before it
    PROBLEM = 5  #: not at all: ``note`` says why
    SKIPPED = 6  #: not meant to be read: ``note`` says why


_KINDS: Final = tuple(Kind)


class Source(NamedTuple):
    """One source."""

    path: str
    kind: Kind = Kind.FILE
    number: int = WHOLE
    member: str = ""  #: its name in the archive
    offset: int = 0
    size: int = 0
    note: str = ""
    linked: bool = False  #: a symbolic link may be followed

    def __str__(self) -> str:
        return shown(self.path, self.member if self.number >= 0 else None)

    def packed(self) -> list[Any]:
        """Return what ``unpacked`` makes a source of."""
        return [packed_path(self.path), int(self.kind), self.number, packed_path(self.member), self.offset, self.size, self.note,
                self.linked]


def unpacked(values: list[Any]) -> Source:
    """Return the source that was packed."""
    path, kind, number, member, *rest = values
    return Source(unpacked_path(path), _KINDS[kind], number, unpacked_path(member), *rest)


def packed_path(path: str) -> str:
    """Return a path as text of its octets."""
    return path if path.isascii() else os.fsencode(path).decode("latin-1")


def unpacked_path(text: str) -> str:
    """Return the path whose octets are the characters of ``text``."""
    return text if text.isascii() else os.fsdecode(text.encode("latin-1"))


def shown(path: str, member: str | None) -> str:
    """Return how a source is called in reports: of an archive ``PATH!/MEMBER``. Octets that are no text are escaped."""
    name = path if member is None else f"{path}!/{member}"
    return os.fsencode(name).decode("utf-8", "backslashreplace")
