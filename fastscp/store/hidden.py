"""Names of the service's own, and whose they are.

Everything of ours that has no name from the operator begins with ``.fastscp``; no directory that a peer names does
(``is_own``), and names of instances begin with the prefix of a SOP class, or with a digit. Files::

    .fastscp-<token>-<n>.tmp     on its way to its name
    .fastscp-<token>-<n>.keep    a note of the quarantine (``fastscp.store.quarantine``)
    .fastscp-<token>-<n>.copy    a note of a copy in another directory (``fastscp.store.sink``)

Strategy: the token is random, so that no two processes have the same, whatever their numbers, hosts or containers.
Who makes such a file holds a lock on it (flock(2)) as long as it lives. So whoever can have the lock knows that the
owner is gone, and no process ever has to know of another.

Invariant: a file is locked before anybody sees it, or found to be still there after it was locked.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import re
import secrets
from pathlib import Path
from typing import Final

STATE_DIRECTORY: Final = ".fastscp"  #: the durable state, where it has no other place
PREFIX: Final = ".fastscp-"  #: of files, and of directories that are being copied
TEMPORARY, NOTE, COPY = ".tmp", ".keep", ".copy"
_TOKEN_OCTETS: Final = 8
_NAME: Final = re.compile(r"\.fastscp-[0-9a-f]+-[0-9]+(\.tmp|\.keep|\.copy)")


class Names:
    """Hidden names, unique among all processes. Each process makes its own after the fork."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(_TOKEN_OCTETS)
        self._numbers = itertools.count(1)

    def next(self, kind: str = TEMPORARY) -> str:
        """Return another name."""
        return f"{PREFIX}{self._token}-{next(self._numbers)}{kind}"


def state_path(configured: str | None, output_directory: str) -> Path:
    """Return where the state of a service is, whether or not it is there."""
    return Path(configured) if configured is not None else Path(output_directory) / STATE_DIRECTORY


def is_own(name: str) -> bool:
    """Tell whether a name is the service's; on some file systems capitals do not count."""
    return name.casefold().startswith(STATE_DIRECTORY)


def kind_of(name: str) -> str | None:
    """Return which kind of file a name belongs to, None when it is none of ours."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def claim(fd: int) -> bool:
    """Lock a file until its last descriptor is closed; return False when somebody else has it.

    Where the file system has no locks nobody has any, and nothing is ever found to be abandoned.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def claim_abandoned(fd: int) -> bool:
    """Lock a file whose owner is gone; return False when it is not known to be."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def create(names: Names, dir_fd: int, kind: str = TEMPORARY) -> tuple[int, str]:
    """Make a file with a hidden name, and lock it; return descriptor and name. OSError passes through."""
    while True:
        name = names.next(kind)
        fd = create_named(name, dir_fd)
        try:
            if claim(fd) and os.fstat(fd).st_nlink:
                return fd, name
        except OSError:
            os.unlink(name, dir_fd=dir_fd)
            os.close(fd)
            raise
        os.close(fd)  # somebody who tidies up came between the two calls


def create_named(name: str, dir_fd: int) -> int:
    """Make a file of that name, and nobody else's; return its descriptor. OSError passes through."""
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=dir_fd)


def write_note(fd: int, text: str) -> None:
    """Write what a note says. OSError passes through."""
    octets = os.fsencode(text)
    if os.write(fd, octets) != len(octets):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
