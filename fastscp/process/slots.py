"""Places that all processes of the service share, so many for each key.

Strategy: a place is a lock on one octet of a file in memory that has no content (fcntl(2)): taking it is one system
call that never waits, and no message. The kernel gives a place to one process only, and gives it back when the process
dies. Locks belong to processes, so which places this process holds itself it has to know.

The octets of a key begin at a digest of it. Two keys with the same digest would share their places; with 43 bits
nobody meets that by chance, and whoever looks for it gets no more than if he had used the other's key.
"""

from __future__ import annotations

import fcntl
import hashlib
import os

_DIGEST_OCTETS = 8
_DIGEST_BITS = 43
_NUMBER_BITS = 20  #: together they fit an offset
MOST = 1 << _NUMBER_BITS


class Slots:
    """At most ``limit`` places for each key. Make it before the processes that share it are forked.

    ``file`` is the memory of processes that are no relatives: the places are shared with them, too.
    """

    def __init__(self, limit: int, file: int | None = None) -> None:
        self._limit = limit
        self._file = os.memfd_create("fastscp-slots", os.MFD_CLOEXEC) if file is None else file
        self._held: dict[str, set[int]] = {}

    def take(self, key: str, limit: int | None = None) -> int | None:
        """Return the number of a place that is this process's now, None when all are taken.

        ``limit`` is how many there are of this key, where that is not the same for all.
        """
        held = self._held.get(key, set())
        first = first_octet(key)
        for number in range(self._limit if limit is None else limit):
            if number in held:
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first + number)
            except (BlockingIOError, PermissionError):
                continue
            held.add(number)
            self._held[key] = held
            return number
        return None

    def give_back(self, key: str, number: int) -> None:
        """Give up a place."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, first_octet(key) + number)
        held = self._held[key]
        held.discard(number)
        if not held:
            del self._held[key]

    def fileno(self) -> int:
        """Return the descriptor of the memory."""
        return self._file

    def close(self) -> None:
        """Give up every place."""
        os.close(self._file)


def first_octet(key: str) -> int:
    """Return where the places of a key begin."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_OCTETS).digest()
    return (int.from_bytes(digest, "little") >> 8 * _DIGEST_OCTETS - _DIGEST_BITS) << _NUMBER_BITS
