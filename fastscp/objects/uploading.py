"""Uploads one file: it is in the store, whole and right, when this returns.

Strategy: the file is read once, a part at a time, and sent with its checksum; a key that is taken may be of an earlier try, or of
another gateway. What the store says of its octets has to agree; a store that says nothing is read back.

Invariants: nothing is confirmed whose octets are not those that were acknowledged; nothing that is right is ever overwritten, and
what is wrong under a key, which names the octets, is; of an upload that fails no parts are left that the next one does not remove.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastscp.errors import ProcessError
from fastscp.objects import parts
from fastscp.objects.store import DamagedError, Found, StoreError, TakenError

# no FIFO that happens to have the name keeps anybody waiting, no link leads elsewhere
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class UnreadableError(ProcessError):
    """The file is not there, or it is another: it may be on its way to another name."""


class Store(Protocol):
    """What an upload needs of the store."""

    def put(self, key: str, body: bytes, checksum: str, *, only_new: bool = True) -> str: ...  # noqa: D102
    def begin(self, key: str) -> str: ...  # noqa: D102
    def put_part(self, key: str, upload: str, number: int, body: bytes, checksum: str) -> dict[str, Any]: ...  # noqa: D102
    def complete(self, key: str, upload: str, parts: Sequence[dict[str, Any]], *, only_new: bool = True) -> str: ...  # noqa: D102
    def abort(self, key: str, upload: str) -> None: ...  # noqa: D102
    def unfinished(self, key: str) -> list[str]: ...  # noqa: D102
    def find(self, key: str) -> Found | None: ...  # noqa: D102
    def read(self, key: str) -> Iterator[bytes]: ...  # noqa: D102


@dataclass(frozen=True)
class Wanted:
    """A file that the store is to have. ``sha256`` is hexadecimal."""

    number: int
    path: str
    sha256: str
    size: int
    key: str

    @property
    def checksum(self) -> str:
        """The digest as the protocol has it."""
        return parts.encoded(bytes.fromhex(self.sha256))


def upload(store: Store, wanted: Wanted) -> str:
    """Have a file in the store; return the identity of the file that was read. Raises UnreadableError, StoreError."""
    try:
        descriptor = os.open(wanted.path, _FLAGS)
    except OSError as error:
        raise UnreadableError(f"{wanted.path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != wanted.size:
            raise UnreadableError(f"{wanted.path} is another file meanwhile")
        if len(parts.ranges(wanted.size)) == 1:
            _upload_whole(store, wanted, descriptor)
        else:
            _upload_parts(store, wanted, descriptor)
    finally:
        os.close(descriptor)
    return identity_of(status)


def identity_of(status: os.stat_result) -> str:
    """Return what tells a file from another that has its name."""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _read(descriptor: int, offset: int, length: int, path: str) -> bytes:
    pieces = []
    while length:
        try:
            octets = os.pread(descriptor, length, offset)
        except OSError as error:
            raise UnreadableError(f"{path}: {error.strerror}") from error
        if not octets:
            raise UnreadableError(f"{path} is shorter than it was")
        pieces.append(octets)
        offset, length = offset + len(octets), length - len(octets)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _upload_whole(store: Store, wanted: Wanted, descriptor: int) -> None:
    octets = _read(descriptor, 0, wanted.size, wanted.path)
    if hashlib.sha256(octets).hexdigest() != wanted.sha256:
        raise UnreadableError(f"{wanted.path} is another file meanwhile")
    try:
        said = store.put(wanted.key, octets, wanted.checksum)
    except TakenError:
        found = store.find(wanted.key)
        said = "" if found is None else found.checksum
    if said == wanted.checksum or _is_right(store, wanted):
        return
    if store.put(wanted.key, octets, wanted.checksum, only_new=False) != wanted.checksum:  # its name says that it is wrong
        _check(store, wanted)


def _upload_parts(store: Store, wanted: Wanted, descriptor: int) -> None:
    """Upload in parts; what earlier tries have left of this key goes first."""
    digests = _digests(wanted, descriptor)
    whole = parts.of_whole(digests)
    for upload in store.unfinished(wanted.key):
        store.abort(wanted.key, upload)
    found = store.find(wanted.key)
    if found is not None and (_same(found.checksum, whole) or _is_right(store, wanted)):
        return
    upload = store.begin(wanted.key)
    try:
        told = [store.put_part(wanted.key, upload, number, _read(descriptor, offset, length, wanted.path), parts.encoded(digest))
                for number, ((offset, length), digest) in enumerate(zip(parts.ranges(wanted.size), digests, strict=True), 1)]
        said = store.complete(wanted.key, upload, told, only_new=found is None)
    except (StoreError, UnreadableError):
        with contextlib.suppress(StoreError):  # what is left then is removed by the next try
            store.abort(wanted.key, upload)
        raise
    if not _same(said, whole):
        _check(store, wanted)


def _digests(wanted: Wanted, descriptor: int) -> list[bytes]:
    """Return the digest of each part, of a file whose own is the right one."""
    whole = hashlib.sha256()
    digests = []
    for offset, length in parts.ranges(wanted.size):
        octets = _read(descriptor, offset, length, wanted.path)
        whole.update(octets)
        digests.append(hashlib.sha256(octets).digest())
    if whole.hexdigest() != wanted.sha256:
        raise UnreadableError(f"{wanted.path} is another file meanwhile")
    return digests


def _same(said: str, whole: str) -> bool:
    """Whether a checksum of parts, with or without their number, is that one."""
    return said.partition("-")[0] == whole


def _is_right(store: Store, wanted: Wanted) -> bool:
    """Whether the octets in the store are those of the file, by reading them."""
    digest = hashlib.sha256()
    for octets in store.read(wanted.key):
        digest.update(octets)
    return digest.hexdigest() == wanted.sha256


def _check(store: Store, wanted: Wanted) -> None:
    if not _is_right(store, wanted):
        raise DamagedError(f"{wanted.key} arrived with other octets")
