"""Ends the wait for a server that answers nothing any more.

A server that is stopped, or whose disk hangs, confirms what arrives for it: no limit of the network is over, and the limits that the
server itself was given stand still with it. So the wait is limited from this side.

Strategy: one thread for each connection's owner, which sleeps until the limit of a wait is over and then shuts the connection's socket down,
whoever waits for it; what waited fails as with any broken connection. It is begun with the first wait, and woken for none that is over
later than it wakes up anyway.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator


class Watch:
    """Limits waits, one at a time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._due: float | None = None  #: when the wait that is under way has lasted too long
        self._descriptor = -1  #: of its socket
        self._limit_s = 0.0  #: of the latest wait
        self._over = False  #: it has, and was ended
        self.wakes: float | None = None  #: when the thread looks next; None: when it is told
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def limit(self, descriptor: int, seconds: float) -> Iterator[None]:
        """End what is done meanwhile with that socket when it takes so long."""
        self._begin(descriptor, seconds)
        try:
            yield
        finally:
            with self._changed:
                self._due = None

    @property
    def over(self) -> float | None:
        """The limit of the latest wait, in seconds, where it was ended for that."""
        return self._limit_s if self._over else None

    def _begin(self, descriptor: int, seconds: float) -> None:
        with self._changed:
            self._due, self._descriptor, self._over = self._monotonic() + seconds, descriptor, False
            self._limit_s = seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            elif self.wakes is None or self.wakes > self._due:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                self.wakes = self._due
                if self._due is None:
                    self._changed.wait()
                elif (left := self._due - self._monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._due, self._over = None, True
                    _shut_down(self._descriptor)


def _shut_down(descriptor: int) -> None:
    """Have whoever reads from a socket, or writes to it, fail. The descriptor stays its owner's."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:  # it may be gone already
        connection.shutdown(socket.SHUT_RDWR)
