"""What this process does in the directories of studies, without following a link that somebody put in their place.

A directory is opened by its path, whose last component must not be a symbolic link (what leads there is the operator's),
and everything in it goes by that descriptor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from fastscp.store.flush import flush_directory

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(directory: str) -> Iterator[int]:
    """Yield a descriptor of a directory that is good for ``dir_fd`` only. Raises ``OSError``."""
    fd = os.open(directory, os.O_PATH | _DIRECTORY)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):  # nothing is written through it
            os.close(fd)


def remove(directory: str, name: str) -> None:
    """Remove a file. Raises ``OSError``."""
    with opened(directory) as fd:
        os.unlink(name, dir_fd=fd)


def write(directory: str, name: str, octets: bytes, *, durable: bool = False) -> None:
    """Write a file, which appears whole and takes the place of an earlier one. Raises ``OSError``.

    ``durable``: file and name are on the disk when this ends.
    """
    temporary = f"{name}.tmp"
    with opened(directory) as fd:
        with contextlib.suppress(FileNotFoundError):  # of a try that was interrupted, or somebody's
            os.unlink(temporary, dir_fd=fd)
        out = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=fd)
        try:
            with open(out, "wb") as file:
                file.write(octets)
                if durable:
                    file.flush()
                    os.fsync(out)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=fd)
            raise
    if durable:
        flush_directory(directory)


def make(name: str, dir_fd: int | None = None) -> int:
    """Make a directory; return a descriptor of it. Raises ``OSError``."""
    os.mkdir(name, dir_fd=dir_fd)
    return os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=dir_fd)


def descend(fd: int, path: str) -> int:
    """Return a descriptor of the directory ``path`` below ``fd``, "." for that itself. Raises ``OSError``."""
    current = os.dup(fd)
    for component in path.split("/"):
        try:
            following = os.open(component, os.O_RDONLY | _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current
