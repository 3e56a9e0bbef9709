"""A directory of this service as processes use it: found by its path again and again, written by its descriptor.

Strategy: the path is looked at with every instance, so that a directory that was moved away and made again is noticed;
all else goes by the descriptor. Whether the file system has anonymous files that can be named is tried once.

Invariants: hidden names are unique among processes; every error becomes StorageError unless a method says otherwise.
"""

from __future__ import annotations

import errno
import itertools
import os

from fastscp.errors import StorageError

TEMPORARY_PREFIX = ".fastscp-"


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """Translate an OSError; the text names what was tried and why it failed."""
    return StorageError(f"cannot {action} {path}: {os.strerror(error.errno or errno.EIO)}",
                        errno=error.errno, path=path)


class Directory:
    """One directory; one object per process.

    Opens it with the first use, and another one as soon as the path names another (removed and made again, renamed,
    mounted over).
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._identity = (0, 0)
        self._anonymous = False
        self._numbers = itertools.count(1)

    def follow_path(self) -> None:
        """Open the directory, unless it is the one that is open."""
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                return
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            status = os.fstat(fd)
        except OSError as error:
            raise storage_error("open output directory", self.path, error) from error
        self.close()
        self._fd, self._identity = fd, (status.st_dev, status.st_ino)
        self._anonymous = self._anonymous_works()

    def _anonymous_works(self) -> bool:
        """Try once whether an anonymous file can be made here and named afterwards."""
        probe = self.hidden_name()
        try:
            fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=self._fd)
        except OSError:
            return False  # the named fallback reports any lasting trouble
        try:
            self.link_descriptor(fd, probe)
        except OSError:
            return False
        finally:
            os.close(fd)
        os.unlink(probe, dir_fd=self._fd)
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

    def hidden_name(self) -> str:
        """Return a hidden name for a temporary file, unique among all processes."""
        return f"{TEMPORARY_PREFIX}{os.getpid()}-{next(self._numbers)}.tmp"

    def link_descriptor(self, fd: int, target: str) -> None:
        """Give an anonymous file a name: relative to this directory, or absolute. OSError passes through."""
        # With a directory descriptor linkat(2) gets AT_SYMLINK_FOLLOW; a plain link(2) would link the symlink.
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=True)

    def open_temporary(self) -> tuple[int, str | None]:
        """Open a new file without a name, or with a hidden one: its descriptor and that name. OSError passes through."""
        if self._anonymous:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=self._fd), None
        name = self.hidden_name()
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        return os.open(name, flags, 0o666, dir_fd=self._fd), name

    def make_again(self, name: str) -> None:
        """Make the directory ``name``, relative to this one, if somebody took it away. Raises StorageError."""
        try:
            os.mkdir(name, 0o777, dir_fd=self._fd)
        except FileExistsError:
            return  # somebody else was quicker
        except OSError as error:
            raise storage_error("make directory", f"{self.path}/{name}", error) from error

    @property
    def fd(self) -> int:
        """Descriptor of the directory."""
        return self._fd

    def close(self) -> None:
        """Give the directory's descriptor back."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
