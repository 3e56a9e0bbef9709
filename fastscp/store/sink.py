"""One instance on its way to disk, and its publication.

Strategy: the octets go to an anonymous file (``O_TMPFILE``) of the output directory, which gets its first
name when the object is complete. Where the file system has no anonymous files, a hidden name
(``fastscp.store.hidden``) stands in.

Invariants: a final name never shows an incomplete object; a file that has a final name is only ever
replaced as a whole, and only by who was told to; every hidden name is in the output directory, or a note there says
where it is; every error of write, close, link and rename becomes StorageError. What fails before the object has its name
leaves nothing; what fails afterwards (``named``) must not be answered with a failure. This module does not choose names.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Generator, Sequence
from typing import IO

from fastscp.errors import StorageError
from fastscp.store import hidden, noreplace
from fastscp.store.comparing import Likeness, compare_with
from fastscp.store.directory import Directory, Place, storage_error
from fastscp.store.policy import Sync
from fastscp.store.steps import result

_IOV_MAX = 1000  #: below the kernel's 1024 buffers a writev takes
_COPY_OCTETS = 1 << 20
_NO_LINK = (errno.EXDEV, *noreplace.NO_LINKS)  #: link(2) cannot, a copy may


class OutputDirectory(Directory):
    """A directory in which instances are made."""

    def create(self, head: bytes = b"") -> InstanceSink:
        """Open the temporary of one instance that begins with ``head``. Raises StorageError."""
        self.follow_path()
        try:
            fd, hidden = self.open_temporary()
        except OSError as error:
            raise storage_error("create a file in", self.path, error) from error
        return self.sink(fd, hidden, head)

    def sink(self, fd: int, hidden: str | None, head: bytes) -> InstanceSink:
        """Return the temporary that was opened."""
        return InstanceSink(self, fd, hidden, head)


class InstanceSink:
    """The temporary of one instance: append, patch, then publish or discard, exactly once."""

    def __init__(self, directory: Directory, fd: int, hidden: str | None, head: bytes) -> None:
        self._directory = directory
        self._fd = fd
        self._hidden = hidden
        self._head = head  #: goes out with the first write, one system call for both
        self._spools: list[IO[bytes]] = []
        self.named = False  #: the object has its final name, whatever fails from here on
        self.size = len(head)  #: octets written so far

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append the buffers; they may be reused when it returns."""
        wanted = sum(map(len, buffers))
        self.size += wanted
        if self._head:
            buffers = [self._head, *buffers]
            wanted += len(self._head)
            self._head = b""
        try:
            if len(buffers) == 1:
                written = os.write(self._fd, buffers[0])
            else:
                if len(buffers) > _IOV_MAX:
                    buffers = [b"".join(buffers)]
                written = os.writev(self._fd, buffers)
            if written != wanted:
                self._write_rest(memoryview(b"".join(buffers))[written:])
        except OSError as error:
            raise storage_error("write to a file in", self._directory.path, error) from error

    def complete(self) -> None:
        """Have everything in the file that was written. Raises StorageError."""
        if self._head:
            self.write([])

    def _write_rest(self, rest: memoryview) -> None:
        """Finish a short write; a write that makes no progress is an error."""
        while rest:
            written = os.write(self._fd, rest)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[written:]

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite ``octets`` at ``offset`` (from the start of the file), which has been written before."""
        try:
            written = os.pwrite(self._fd, octets, offset)
        except OSError as error:
            raise storage_error("write to a file in", self._directory.path, error) from error
        if written != len(octets):
            raise StorageError(f"short write to a file in {self._directory.path}", path=self._directory.path)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before, from ``offset`` of the file."""
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise storage_error("read back a file in", self._directory.path, error) from error

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``; the next write goes there."""
        try:
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
        except OSError as error:
            raise storage_error("write to a file in", self._directory.path, error) from error
        self.size = size

    def leave_out(self, octets: int) -> None:
        """Go on writing that many octets further; who leaves a gap fills it."""
        self.complete()
        try:
            os.lseek(self._fd, octets, os.SEEK_CUR)
        except OSError as error:
            raise storage_error("write to a file in", self._directory.path, error) from error
        self.size += octets

    @property
    def fd(self) -> int:
        """Descriptor of the temporary."""
        return self._fd

    def flush(self) -> None:
        """Have everything on the disk that was written. Raises StorageError."""
        self.complete()
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise storage_error("synchronise a file in", self._directory.path, error) from error

    def spool(self) -> IO[bytes]:
        """Return an unnamed file beside the output for what must be kept until its length is known."""
        try:
            spool = open(self._directory.open_unnamed(), "w+b")  # noqa: SIM115 - closed in _close
        except OSError as error:
            raise storage_error("create a spool in", self._directory.path, error) from error
        self._spools.append(spool)
        return spool

    def digesting(self) -> Generator[None, None, str]:
        """Return the SHA-256 of what has been written, in hexadecimal; a piece is read at a time."""
        self.complete()
        digest = hashlib.sha256()
        offset = 0
        while offset < self.size:
            try:
                octets = os.pread(self._fd, _COPY_OCTETS, offset)
            except OSError as error:
                raise storage_error("read back a file in", self._directory.path, error) from error
            if not octets:
                raise StorageError(f"a file in {self._directory.path} is shorter than what was written")
            digest.update(octets)
            offset += len(octets)
            if offset < self.size:
                yield
        return digest.hexdigest()

    def compare(self, target: str, place: Place | None = None) -> Generator[None, None, bool]:
        """Find out, a piece at a time, whether ``target`` has the same octets; nobody must write meanwhile."""
        self.complete()
        likeness = yield from compare_with(self._fd, target, (place or self._directory.place).fd)
        return likeness is Likeness.EQUAL

    def publish(self, target: str, *, replace: bool) -> bool:
        """Publish at once, in the output directory."""
        return result(self.publishing(target, replace=replace))

    def publishing(self, target: str, *, replace: bool, place: Place | None = None) -> Generator[None, None, bool]:
        """Give the complete object its final name in ``place``; return True when it replaced an earlier file.

        One step, where the directory is on the file system of the temporary; else it is copied in many.
        Without a ``place`` that is the output directory. With ``replace`` False an existing
        name raises FileExistsError and leaves the temporary as it was, for another try. Raises
        StorageError for everything else; the temporary is then still there to be discarded.
        """
        directory = self._directory
        if place is None:
            place = directory.place
        self.complete()
        self.close_spools()
        directory.must_be_current()
        self._settle()
        if directory.sync is Sync.OBJECT:
            self.flush()
        try:
            replaced = self._give_name(target, place, replace=replace)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise storage_error("create", target, error) from error
            replaced = yield from self._copy_beside(target, place, replace=replace)
        self.named = True
        if directory.sync is Sync.OBJECT:
            try:
                directory.flush_names(place.path)
            except OSError as error:
                raise storage_error("synchronise the directory of", target, error) from error
        self.discard()
        return replaced

    def _give_name(self, target: str, place: Place, *, replace: bool) -> bool:
        """Link or rename, in one step; return whether an earlier file was replaced."""
        directory = self._directory
        if self._hidden is None:
            try:
                directory.link_descriptor(self._fd, target, place.fd)
            except FileExistsError:
                if not replace:
                    raise
                self._hidden = directory.hide(self._fd)  # found there if this process is killed in between
                os.rename(self._hidden, target, src_dir_fd=directory.fd, dst_dir_fd=place.fd)
                self._hidden = None
                return True
            return False
        replaced = noreplace.give_name(self._hidden, target, src_dir_fd=directory.fd, dst_dir_fd=place.fd, replace=replace)
        former, self._hidden = self._hidden, None
        directory.remove(former)  # where the disk did not let go of it
        return replaced

    def _copy_beside(self, target: str, place: Place, *, replace: bool) -> Generator[None, None, bool]:
        """Publish on another file system: copy in the kernel under a hidden name there, then rename.

        A note in the output directory says where, until it is done.
        """
        directory = self._directory
        try:
            self._must_be_free(target, place, replace=replace)
            name = directory.hidden_name()
            out, note = self._begin_copy(name, place)
            try:
                yield from self._send_all(out)
                _flush(out)
                if directory.sync is not Sync.NONE:
                    os.fsync(out)
                replaced = noreplace.give_name(name, target, src_dir_fd=place.fd, dst_dir_fd=place.fd, replace=replace)
            finally:
                directory.remove(os.path.join(place.path, name))
                directory.remove(note)
                with contextlib.suppress(OSError):  # what lost writes there are is known
                    os.close(out)
        except FileExistsError:
            raise
        except OSError as error:
            raise storage_error("create", target, error) from error
        return replaced

    def _begin_copy(self, name: str, place: Place) -> tuple[int, str]:
        """Make the file ``name`` in ``place``, after a note of it; return its descriptor, and the note's name.

        The note is this process's as long as the file is.
        """
        directory = self._directory
        fd, note = directory.create_hidden(hidden.COPY)
        out = -1
        try:
            try:
                hidden.write_note(fd, os.path.join(place.path, name))
                out = hidden.create_named(name, place.fd)
                hidden.claim(out)
            finally:
                os.close(fd)
        except OSError:
            if out >= 0:
                directory.remove(os.path.join(place.path, name))
                os.close(out)
            directory.remove(note)
            raise
        return out, note

    def _must_be_free(self, target: str, place: Place, *, replace: bool) -> None:
        """Raise FileExistsError as link(2) would, before anything is copied in vain."""
        if not replace and noreplace.exists(target, place.fd):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)

    def _send_all(self, out: int) -> Generator[None, None, None]:
        """Copy the whole temporary with sendfile(2)."""
        offset = 0
        while offset < self.size:
            sent = os.sendfile(out, self._fd, offset, min(_COPY_OCTETS, self.size - offset))
            if sent == 0:
                raise OSError(errno.EIO, "temporary file is shorter than what was written")
            offset += sent
            if offset < self.size:
                yield

    def _settle(self) -> None:
        """Make the file system report now what it could not write.

        Some report lost writes only at close(2) (network file systems, quotas), and an anonymous file
        must be named before its last close: so a duplicate of the descriptor is closed first.
        """
        try:
            _flush(self._fd)
        except OSError as error:
            raise storage_error("close a file in", self._directory.path, error) from error

    def close_spools(self) -> None:
        """Give back what was only needed until the data set was complete."""
        while self._spools:
            with contextlib.suppress(OSError):  # what it still buffers is dropped anyway, room for it or not
                self._spools.pop().close()

    def _close(self) -> None:
        self.close_spools()
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            if self._hidden is not None:
                hidden, self._hidden = self._hidden, None
                self._directory.remove(hidden)
            os.close(fd)

    def discard(self) -> None:
        """Drop the temporary; what has been published stays under its final name."""
        try:
            self._close()
        except OSError as error:
            raise storage_error("close a file in", self._directory.path, error) from error


def _flush(fd: int) -> None:
    """Close a duplicate of a descriptor: some file systems report at close(2) what they could not write."""
    os.close(os.dup(fd))
