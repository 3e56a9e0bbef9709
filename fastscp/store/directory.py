"""A directory of this service as processes use it: found by its path again and again, written by its descriptor.

Strategy: the path is looked at with every instance, so that a directory that was moved away and made again is noticed;
all else goes by the descriptor. Whether the file system has anonymous files that can be named is tried once; a disk
that is full, say, leaves the question open. A hidden file that cannot be removed now is removed with the next instance.
The directory itself, and what leads to it, is the operator's, and may be a symbolic link; what is below it may not.

Invariants: whatever has a hidden name is locked (``fastscp.store.hidden``); every error becomes StorageError unless a
method says otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from fastscp.errors import StorageError
from fastscp.store import hidden
from fastscp.store.flush import flush_directory
from fastscp.store.policy import Sync

#: what open(2) says of a symbolic link that is not to be followed
_LINK = (errno.ENOTDIR, errno.ELOOP)
#: what a system says of itself now, and not of what its file system can do
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
                             errno.ESTALE})


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """Translate an OSError; the text names what was tried and why it failed."""
    return StorageError(f"cannot {action} {path}: {os.strerror(error.errno or errno.EIO)}",
                        errno=error.errno, path=path)


@dataclass(frozen=True, slots=True)
class Place:
    """A directory in which an instance gets its name, open until ``close``."""

    fd: int
    path: str  #: absolute, or relative to the output directory
    owned: bool = False

    def close(self) -> None:
        """Give the descriptor back."""
        if self.owned:
            os.close(self.fd)


class Directory:
    """One directory; one object per process.

    Opens it with the first use, and another one as soon as the path names another (removed and made again, renamed,
    mounted over).
    """

    def __init__(self, path: str, sync: Sync = Sync.NONE) -> None:
        self.path = path
        self.sync = sync
        self._fd = -1
        self._identity = (0, 0)
        self._anonymous = False
        self._leftovers: list[str] = []  #: hidden names that could not be removed
        self._names = hidden.Names()

    def follow_path(self) -> None:
        """Open the directory, unless it is the one that is open."""
        if self._leftovers:
            self._remove_leftovers()
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                return
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error("open output directory", self.path, error) from error
        self.close()
        self._fd, self._identity = fd, (0, 0)  # until all is known about it
        try:
            status = os.fstat(fd)
            self._anonymous = self._anonymous_works()
        except OSError as error:
            raise storage_error("create a file in", self.path, error) from error
        self._identity = status.st_dev, status.st_ino

    def _anonymous_works(self) -> bool:
        """Try whether an anonymous file can be made here and named afterwards. OSError: it cannot be known now."""
        probe = self.hidden_name()
        try:
            fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=self._fd)
            try:
                hidden.claim(fd)
                self.link_descriptor(fd, probe, self._fd)
            finally:
                self.remove(probe)
                os.close(fd)
        except OSError as error:
            if error.errno in _PASSING:
                raise
            return False  # the named fallback reports any lasting trouble
        return True

    def anonymous_place(self) -> tuple[int, int, int] | None:
        """Open the directory that the path names now: its descriptor, device and inode number.

        None where that is not possible, or no anonymous files can be named there.
        """
        try:
            self.follow_path()
        except StorageError:
            return None
        return (self._fd, *self._identity) if self._anonymous else None

    def hide(self, fd: int) -> str:
        """Give an anonymous file a hidden name here, and return that. OSError passes through."""
        name = self.hidden_name()
        hidden.claim(fd)
        self.link_descriptor(fd, name, self._fd)
        return name

    def link_descriptor(self, fd: int, target: str, dir_fd: int) -> None:
        """Give an anonymous file a name in the directory ``dir_fd``. OSError passes through."""
        # With a directory descriptor linkat(2) gets AT_SYMLINK_FOLLOW; a plain link(2) would link the symlink.
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=True)

    def hidden_name(self) -> str:
        """Return a hidden name that no other process has."""
        return self._names.next()

    def create_hidden(self, kind: str = hidden.TEMPORARY) -> tuple[int, str]:
        """Make a file with a hidden name here; return descriptor and name. OSError passes through."""
        return hidden.create(self._names, self._fd, kind)

    def open_temporary(self) -> tuple[int, str | None]:
        """Open a new file without a name, or with a hidden one: its descriptor and that name. OSError passes through."""
        if self._anonymous:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=self._fd), None
        return self.create_hidden()

    def open_unnamed(self) -> int:
        """Open a new file that never gets a name. OSError passes through."""
        fd, name = self.open_temporary()
        if name is not None:
            self.remove(name)
        return fd

    @property
    def place(self) -> Place:
        """The directory itself."""
        return Place(self._fd, "")

    def open_place(self, inside: str) -> Place:
        """Open the directory ``inside``, relative to this one or absolute. Raises StorageError.

        Its last component is never followed if it is a symbolic link; what leads there is the operator's.
        """
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return Place(os.open(inside, flags, dir_fd=self._fd), inside, owned=True)
        except OSError as error:
            path = os.path.join(self.path, inside)
            if error.errno in _LINK and self._is_link(inside):
                raise StorageError(f"{path} is a symbolic link, which is not followed", errno=errno.ELOOP, path=path) from error
            raise storage_error("open directory", path, error) from error

    def _is_link(self, inside: str) -> bool:
        try:
            return stat.S_ISLNK(os.stat(inside, dir_fd=self._fd, follow_symlinks=False).st_mode)
        except OSError:
            return False

    def must_be_current(self) -> None:
        """Find out whether the path still leads here. Raises StorageError where it does not."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise storage_error("find output directory", self.path, error) from error
        if (status.st_dev, status.st_ino) != self._identity:
            raise StorageError(f"output directory {self.path} was replaced", path=self.path)

    def make_again(self, name: str) -> None:
        """Make the directory ``name``, relative to this one, if somebody took it away. Raises StorageError."""
        try:
            os.mkdir(name, 0o777, dir_fd=self._fd)
            if self.sync is not Sync.NONE:
                self.flush_names(os.path.dirname(name))
        except FileExistsError:
            return  # somebody else was quicker
        except OSError as error:
            raise storage_error("make directory", f"{self.path}/{name}", error) from error

    def flush_names(self, inside: str) -> None:
        """Have the names in the directory ``inside`` on the disk, "" for this one. OSError passes through."""
        if inside:
            flush_directory(inside, self._fd)
        else:
            os.fsync(self._fd)

    def remove(self, name: str) -> None:
        """Remove a hidden file, if it is there: now or, where the disk does not let us, with the next instance."""
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            return
        except OSError:
            self._leftovers.append(name)

    def _remove_leftovers(self) -> None:
        names, self._leftovers = self._leftovers, []
        for name in names:
            self.remove(name)

    @property
    def fd(self) -> int:
        """Descriptor of the directory."""
        return self._fd

    def close(self) -> None:
        """Give the directory's descriptor back."""
        if self._fd >= 0:
            self._remove_leftovers()
            self._leftovers.clear()  # they are in a directory that is ours no more
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # nothing is written through it
                os.close(fd)
