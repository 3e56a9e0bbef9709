"""Archives: what they are, and their members one after another, without unpacking anything to disk.

A tar archive that is not compressed is read by its headers alone: members are regions of it. A compressed one is read
once from its beginning to its end. Members of a zip archive are found by its directory, each by itself. Archives in
archives are not opened.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, Final, cast

from fastscp.errors import FastscpError
from fastscp.ingest.sources import Kind, Source

#: names that are looked into where a directory is walked; what is named by itself is recognised by its octets alone
SUFFIXES: Final = (".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
HEAD_OCTETS: Final = 512
#: what reading a damaged archive raises
DAMAGE: Final = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
                 NotImplementedError, ValueError)

_MAGIC: Final = ((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\x1f\x8b", "gz"), (b"BZh", "bz2"),
                 (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zst"))
_ENCRYPTED: Final = 1  #: flag of a zip member


class ArchiveError(FastscpError):
    """An archive, or a member of one, cannot be read."""


def archive_kind(head: bytes) -> str:
    """Return what archive a file is that begins with ``head``: tar, zip, gz, bz2, xz or zst; "" for none."""
    if head[128:132] == b"DICM":
        return ""
    if head[257:262] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def members(path: str, kind: str) -> Iterator[Source]:
    """Yield the members of an archive that can be read each by itself, or the archive as one stream.

    Raises ArchiveError where it is damaged, after what stands before the damage.
    """
    try:
        if kind == "tar":
            yield from _regions(path)
        elif kind == "zip":
            yield from _zipped(path)
        else:
            yield Source(path, Kind.STREAM)
    except DAMAGE as error:
        raise ArchiveError(damage(error)) from error


def damage(error: BaseException) -> str:
    """Return what is wrong with an archive, in one line."""
    return f"archive cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}"


def _regions(path: str) -> Iterator[Source]:
    with tarfile.open(path, "r:", errorlevel=2) as archive:
        for number, member in enumerate(_each(archive)):
            name = member.name
            if not member.isreg():
                if not member.isdir():
                    yield Source(path, Kind.SKIPPED, number, name, note=not_a_file(member))
            elif member.issparse():
                yield Source(path, Kind.PROBLEM, number, name, note="a sparse file in an archive is not read")
            else:
                yield Source(path, Kind.REGION, number, name, member.offset_data, member.size)
        if 0 < os.path.getsize(path) - archive.offset < tarfile.BLOCKSIZE:  # tarfile takes that for the end
            raise tarfile.ReadError("it ends inside a header")


def _each(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members; the archive's own list of them is kept short."""
    while (member := archive.next()) is not None:
        yield member
        cast("Any", archive).members = []


def not_a_file(member: tarfile.TarInfo) -> str:
    """Say what a member is that is neither file nor directory."""
    return "a link in an archive" if member.islnk() or member.issym() else "not a regular file"


def _zipped(path: str) -> Iterator[Source]:
    with zipfile.ZipFile(path) as archive:
        for number, member in enumerate(archive.infolist()):
            mode = member.external_attr >> 16
            if member.is_dir():
                continue
            if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
                yield Source(path, Kind.SKIPPED, number, member.filename, note="a link in an archive")
            else:
                yield Source(path, Kind.ZIPPED, number, member.filename, size=member.file_size)


class ZipMembers:
    """Opens members of zip archives; the archive of the last one stays open."""

    def __init__(self) -> None:
        self._path = ""
        self._archive: zipfile.ZipFile | None = None

    def open(self, source: Source) -> IO[bytes]:
        """Open a member for reading. Raises ArchiveError."""
        try:
            if self._archive is None or self._path != source.path:
                self.close()
                self._archive, self._path = zipfile.ZipFile(source.path), source.path
            member = self._archive.infolist()[source.number]
            if member.flag_bits & _ENCRYPTED:
                raise ArchiveError("encrypted member of an archive")
            return self._archive.open(member)
        except DAMAGE as error:
            raise ArchiveError(damage(error)) from error

    def close(self) -> None:
        """Give the archive back."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None


@contextlib.contextmanager
def streamed(path: str) -> Iterator[Iterator[tuple[int, tarfile.TarInfo, IO[bytes] | None]]]:
    """Open a compressed tar archive: number, header and octets (None for what is no file) of each member, in order.

    The octets have to be read before the next member. Raises ArchiveError.
    """
    with contextlib.ExitStack() as stack:
        try:
            plain = stack.enter_context(_decompressed(path))
            archive = stack.enter_context(tarfile.open(fileobj=plain, mode="r|", errorlevel=2))
        except DAMAGE as error:
            raise ArchiveError(damage(error)) from error
        yield _stream(archive)


def _stream(archive: tarfile.TarFile) -> Iterator[tuple[int, tarfile.TarInfo, IO[bytes] | None]]:
    try:
        for number, member in enumerate(_each(archive)):
            yield number, member, archive.extractfile(member) if member.isreg() else None
    except DAMAGE as error:
        raise ArchiveError(damage(error)) from error


def _decompressed(path: str) -> IO[bytes]:
    with open(path, "rb") as file:
        kind = archive_kind(file.read(HEAD_OCTETS))
    if kind == "gz":
        return _gunzipped(path)
    if kind == "bz2":
        return cast("IO[bytes]", bz2.open(path))
    if kind == "xz":
        return cast("IO[bytes]", lzma.open(path))
    if kind == "zst":
        return _unzstandard(path)
    raise ArchiveError("archive cannot be read: it has changed")


def _gunzipped(path: str) -> IO[bytes]:
    """Use zlib-ng where it is installed."""
    try:
        from zlib_ng import gzip_ng  # noqa: PLC0415 - may be missing
    except ImportError:
        return cast("IO[bytes]", gzip.open(path))
    return cast("IO[bytes]", gzip_ng.open(path))  # type: ignore[no-untyped-call]


def _unzstandard(path: str) -> IO[bytes]:
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError:
        raise ArchiveError("archive cannot be read: zstandard is not installed (fastscp[ingest])") from None
    return cast("IO[bytes]", zstandard.open(os.fspath(path), "rb"))
