"""Threads that do what waits for the network. What they have done is heard in the thread of the loop.

They are daemons: a process that ends does not wait for them; what they had under way is done again by the next one.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from fastscp.process.loop import IN, Loop


class Threads:
    """So many threads beside a ``loop``."""

    def __init__(self, loop: Loop, count: int) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.register(self._reader, IN, self._hear)
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()

    def give(self, job: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Have a job done; ``done`` hears its result, or what it raised, in the thread of the loop."""
        self._jobs.put((job, done))

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - the boundary of one job: who gave it hears of it
                self._over(done, None, error)
            else:
                self._over(done, result, None)

    def _over(self, done: Callable[[Any, BaseException | None], None], result: Any, error: BaseException | None) -> None:
        self._done.put(lambda: done(result, error))
        try:
            os.write(self._writer, b".")
        except BlockingIOError:  # the pipe is full of the same news
            return

    def _hear(self, _mask: int) -> None:
        os.read(self._reader, 4096)
        while True:
            try:
                over = self._done.get_nowait()
            except queue.Empty:
                return
            over()
