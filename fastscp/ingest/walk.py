"""From the paths of the command line to sources, one after another, in an order that is always the same.

Strategy: directories are read by scandir(3), which says of most entries what they are without a stat(2); entries are
sorted by name, files before directories, at most ``_AT_ONCE`` of them at a time, so that a directory with millions
needs no more memory than one with thousands. Nothing is opened but archives, and paths that are named by themselves.

Invariant: it ends. Where symbolic links are followed each directory is entered once.
"""

from __future__ import annotations

import glob
import itertools
import os
import select
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fastscp.errors import InstanceError
from fastscp.ingest import archives, media
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY
from fastscp.ingest.sources import ARCHIVE, Kind, Source
from fastscp.store.hidden import is_own

STANDARD_INPUT: Final = "-"
_AT_ONCE: Final = 1 << 16
_READ_OCTETS: Final = 1 << 16
_MEDIA: Final = MEDIA_STORAGE_DIRECTORY.encode()

Identity = tuple[int, int]  #: device and inode
#: whether a source, by its path and number, was done by an earlier run
Known = Callable[[str, int], bool]


class Walk:
    """Everything that the paths lead to. ``avoided`` directories are not entered unless they are named."""

    def __init__(self, paths: Iterable[str], *, follow_links: bool = False, separator: bytes = b"\n",
                 avoided: frozenset[Identity] = frozenset(), known: Known = lambda _path, _number: False,
                 stdin: int = 0) -> None:
        self._paths = paths
        self._follow = follow_links
        self._separator = separator
        self._avoided = avoided
        self._known = known
        self._stdin = stdin
        self._entered: set[Identity] = set()

    def sources(self) -> Iterator[Source | None]:
        """Yield the sources; None where standard input has nothing to say yet."""
        for path in self._paths:
            if path == STANDARD_INPUT:
                for line in self._lines():
                    if line is None:
                        yield None
                    else:
                        yield from self._named(line)
            else:
                yield from self._named(path)

    def _lines(self) -> Iterator[str | None]:
        rest = b""
        while True:
            if not select.select([self._stdin], [], [], 0)[0]:
                yield None
                continue
            octets = os.read(self._stdin, _READ_OCTETS)
            *lines, rest = (rest + octets).split(self._separator) if octets else (rest, b"")
            yield from (os.fsdecode(line) for line in lines if line)
            if not octets:
                return

    # -- what was named ---------------------------------------------------------------------------

    def _named(self, path: str) -> Iterator[Source]:
        """Yield what a path leads to that was named by itself; links are followed, patterns expanded."""
        if not os.path.lexists(path) and glob.has_magic(path):
            found = False
            for match in sorted(glob.iglob(path, recursive=True)):
                found = True
                yield from self._path(match)
            if found:
                return
        yield from self._path(path)

    def _path(self, path: str) -> Iterator[Source]:
        try:
            if os.path.isdir(path):
                yield from self._directory(path)
                return
            kind = _looked_into(path)
        except OSError as error:
            yield Source(path, Kind.PROBLEM, note=f"cannot be read: {error.strerror}")
            return
        if kind == "media":
            yield from self._media(path)
        elif kind:
            yield from self._archive(path, kind)
        else:
            yield Source(path, linked=True)

    def _media(self, path: str) -> Iterator[Source]:
        directory = os.path.dirname(path)
        yield Source(path, Kind.SKIPPED, note="a DICOMDIR")
        try:
            for components in media.referenced_files(path):
                found = media.locate(directory, components)
                if found is None:
                    missing = os.path.join(directory, *components)
                    yield Source(missing, Kind.PROBLEM, note="named by the DICOMDIR, and not there")
                else:
                    yield Source(found, linked=self._follow)
        except (InstanceError, OSError, ValueError) as error:
            yield Source(path, Kind.PROBLEM, note=f"DICOMDIR cannot be read: {error}")

    def _archive(self, path: str, kind: str) -> Iterator[Source]:
        if self._known(path, ARCHIVE):
            return
        try:
            yield from archives.members(path, kind)
        except archives.ArchiveError as error:
            yield Source(path, Kind.PROBLEM, note=str(error))
        yield Source(path, Kind.END, ARCHIVE)

    # -- directories ------------------------------------------------------------------------------

    def _directory(self, top: str) -> Iterator[Source]:
        if self._follow and not self._enter(os.stat(top)):
            return
        pending = [iter((top,))]
        while pending:
            path = next(pending[-1], None)
            if path is None:
                pending.pop()
                continue
            below: list[str] = []
            try:
                yield from self._entries(path, below)
            except OSError as error:
                yield Source(path, Kind.PROBLEM, note=f"directory cannot be read: {error.strerror}")
            pending.append(iter(below))

    def _entries(self, directory: str, below: list[str]) -> Iterator[Source]:
        """Yield the files of a directory; add the directories in it to ``below``."""
        with os.scandir(directory) as listing:
            while entries := list(itertools.islice(listing, _AT_ONCE)):
                entries.sort(key=lambda entry: entry.name)
                for entry in entries:
                    yield from self._entry(entry, below)
        below.sort()

    def _entry(self, entry: os.DirEntry[str], below: list[str]) -> Iterator[Source]:
        name, path = entry.name, entry.path
        if is_own(name):
            return
        if entry.is_symlink() and not self._follow:
            yield Source(path, Kind.SKIPPED, note="a symbolic link")
        elif entry.is_dir(follow_symlinks=self._follow):
            if self._may_enter(entry):
                below.append(path)
        elif not entry.is_file(follow_symlinks=self._follow):
            yield Source(path, Kind.SKIPPED, note="not a regular file")
        elif name.lower().endswith(archives.SUFFIXES) and (kind := _archive_kind(path)):
            yield from self._archive(path, kind)
        else:
            yield Source(path, linked=self._follow)

    def _may_enter(self, entry: os.DirEntry[str]) -> bool:
        if self._follow:
            status = entry.stat()
            return (status.st_dev, status.st_ino) not in self._avoided and self._enter(status)
        if not self._avoided or entry.inode() not in {inode for _, inode in self._avoided}:
            return True
        status = entry.stat(follow_symlinks=False)
        return (status.st_dev, status.st_ino) not in self._avoided

    def _enter(self, status: os.stat_result) -> bool:
        """Take note of a directory; False when it was entered before."""
        identity = status.st_dev, status.st_ino
        if identity in self._entered:
            return False
        self._entered.add(identity)
        return True


def _looked_into(path: str) -> str:
    """Return what a file is that was named: a kind of archive, "media" for a DICOMDIR, or "". OSError passes through."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, archives.HEAD_OCTETS, 0)
    except OSError:  # a pipe: the worker says so
        return ""
    finally:
        os.close(descriptor)
    if head[128:132] == b"DICM" and _MEDIA in head:
        return "media"
    return archives.archive_kind(head)


def _archive_kind(path: str) -> str:
    """Return what archive a file is whose name is that of one; "" also where it cannot be read, which others say."""
    try:
        kind = _looked_into(path)
    except OSError:
        return ""
    return "" if kind == "media" else kind
