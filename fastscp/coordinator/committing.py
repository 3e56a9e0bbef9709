"""The coordinator's part in storage commitment: the process that carries out requests, and the way from it to a worker.

Strategy: the process (``fastscp.commitment.program``) is started when a worker says that there is a request, or when there are
some from before; a look now and then finds what nobody has said. What it wants to have told on an association goes to the
worker that has it; the answer comes back the same way. It ends with its channel, so with this process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from fastscp.commitment import requests
from fastscp.coordinator.companion import Companion, Start, start_program
from fastscp.coordinator.index import Index
from fastscp.coordinator.rules import AllRules
from fastscp.process import notes
from fastscp.process.loop import Loop

LOOK_S = 5.0
_END_S = 5.0  #: it gets to end by itself

_PROGRAM = partial(start_program, module="fastscp.commitment.program")


class Committing:
    """The requests beside the ``index``. ``begin`` is what the process is told first.

    ``report`` has the worker of an association tell a result, in the round that ``changed`` asks for, and returns whether there is one.
    """

    def __init__(self, loop: Loop, index: Index, begin: Mapping[str, Any], start: Start = _PROGRAM) -> None:
        self.index = index
        self.changed: Callable[[], None] = lambda: None  #: a worker is to be told something
        self.report: Callable[[str, str], bool] = lambda _association, _file: False
        self._loop = loop
        self._directory = index.directory / requests.DIRECTORY
        self._begin = dict(begin)
        self._companion = Companion(loop, start, "storage commitment", heard=self._hear, lost=self._lost)
        self._ended = False

    def begin(self) -> None:
        """Look for requests, now and again and again."""
        if self._ended:
            return
        if not self._companion.connected and requests.waiting(self._directory):
            self._launch()
        self._loop.call_later(LOOK_S, self.begin)

    def heard(self, note: notes.Note | notes.Missed) -> bool:
        """Take what a worker tells, if it is about commitment."""
        if note["kind"] == "commitment_reported":
            self._companion.tell({"kind": "reported", "file": note["file"], "status": note["status"]})
        elif note["kind"] != "commitment_asked":
            return False
        elif not self._companion.connected and not self._ended:
            self._launch()
        else:
            self._companion.tell({"kind": "look"})
        return True

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on; where nothing is committed any more what was asked for is told by those that there were."""
        if rules.commitment is None:
            return
        self._begin["policy"] = asdict(rules.commitment)
        self._companion.tell({"kind": "policy", "policy": self._begin["policy"]})

    def _launch(self) -> None:
        self._reap()
        self._companion.launch(self._begin)

    def _hear(self, packet: dict[str, Any]) -> None:
        if self.report(packet["association"], packet["file"]):
            self.changed()
        else:
            self._companion.tell({"kind": "reported", "file": packet["file"], "status": None})

    def _lost(self) -> None:
        self._companion.leave()

    def _reap(self) -> None:
        process, self._companion.process = self._companion.process, None
        if process is not None:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """End, and close the index."""
        self.end()
        self.index.close()

    def end(self) -> None:
        """End the process: what it has not done is for the next."""
        self._ended = True
        self._companion.leave()
        if self._companion.process is not None:
            self._companion.process.terminate()
        self._reap()
