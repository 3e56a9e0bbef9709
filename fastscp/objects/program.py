"""The process that uploads: started by the coordinator, ends with it.

    python -m fastscp.objects.program DESCRIPTOR

The descriptor is a packet channel to the coordinator; the first packet says what to do (``begin``). It sends ``confirmed``: the store has a
file; ``written``: an end of a study has its manifest; ``state``: how much waits, and whether the store is away. At the end of file it
begins with nothing more, and ends a few seconds later at the latest.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastscp.objects.alone import OwnEnds
from fastscp.objects.hands import Threads
from fastscp.objects.journal import UploadReader
from fastscp.objects.store import S3Store
from fastscp.objects.uploader import Ends, Uploader
from fastscp.objects.uploading import upload
from fastscp.process.attached import OF_SERVICE, Attachment, attach
from fastscp.process.loop import IN, Loop

LAST_S: Final = 4.0  #: for what is under way at the end
JOBS: Final = 4


def main(descriptor: int) -> int:
    """Upload until the channel ends; return the exit status."""
    channel, begin = attach(descriptor, "objects", ignored=OF_SERVICE)
    if begin is None:
        return 0
    loop = Loop()
    Program(loop, channel, begin).run()
    loop.close()
    return 0


class Program:
    """Turns of an uploader in a loop."""

    def __init__(self, loop: Loop, channel: Attachment, begin: Mapping[str, Any]) -> None:
        self._loop = loop
        self._channel = channel
        self._ends: float | None = None  #: when it has to be over
        journal = UploadReader(Path(begin["file"]), begin["prefix"])
        store = S3Store(begin["bucket"], begin["endpoint"], most_connections=JOBS + 1)
        self._uploader = Uploader(journal, _ends(begin, journal, store), partial(upload, store), Threads(loop, JOBS), channel.tell,
                                  jobs=JOBS, probe=lambda: store.find(f"{begin['prefix']}/probe"))

    def run(self) -> None:
        """Go on until the end."""
        self._loop.register(self._channel.fileno(), IN, self._hear)
        self._loop.call_later(0.0, self._turn)
        self._loop.run()

    def _turn(self) -> None:
        pause = self._uploader.turn()
        if self._ends is not None:
            if not self._uploader.busy or time.monotonic() > self._ends:
                self._loop.stop()
                return
            pause = min(pause, 0.05)
        self._loop.call_later(pause, self._turn)

    def _hear(self, _mask: int) -> None:
        """Take note of the end; nothing is said after the beginning."""
        for _ in self._channel.packets():
            pass
        if self._channel.over:
            self._loop.unregister(self._channel.fileno())
            self._uploader.end()
            self._ends = time.monotonic() + LAST_S


def _ends(begin: Mapping[str, Any], journal: UploadReader, store: S3Store) -> Ends:
    """Return whose ends of studies count."""
    if begin["fleet"] is None:
        return OwnEnds(journal, store, begin["prefix"])
    from fastscp.objects.together import FleetEnds  # noqa: PLC0415 - needs fastscp[fleet], which one gateway alone does not

    return FleetEnds(begin["fleet"], begin["gateway"], journal, store, begin["prefix"])


if __name__ == "__main__":
    status = main(int(sys.argv[1]))
    logging.shutdown()
    os._exit(status)  # threads that wait for the network are not waited for
