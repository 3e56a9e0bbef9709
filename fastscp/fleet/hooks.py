"""The end-of-study hooks that this gateway has claimed.

Strategy: a hook gets what a local one gets, and a file in JSON with all objects and where they are. It runs while its lease is this
gateway's: when that cannot be renewed in time another gateway may run the hook, so this one is terminated first, and killed when it goes on.

The list of a claim is its own: a hook that has lost its lease may still be there when this gateway claims the same end again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fastscp import jsontext
from fastscp.coordinator.hooks import HookProcesses, HookRunner
from fastscp.fleet.arithmetic import Lease
from fastscp.fleet.ending import Claim
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process.loop import Loop
from fastscp.study import variables
from fastscp.study.commands import STUDY, Commands
from fastscp.study.event_types import SCHEMA_VERSION

_log = logging.getLogger(APPLICATION)

#: status of a hook that could not be started, or was ended for its lease
NOT_RUN = 127
#: a list that is older is of a process that was killed; a hook that it left may be reading it still
KEEP_LISTS_S = 86400.0


class KnownProcesses(HookProcesses):
    """Those of the system; the latest is known."""

    latest = 0

    def spawn(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        """Start a program in a group of its own; return its number."""
        self.latest = super().spawn(arguments, variables)
        return self.latest


@dataclass
class Running:
    """A hook that runs, or has ended while the database does not know it yet."""

    claim: Claim
    lease: Lease
    pid: int
    status: int | None = None


class FleetHooks:
    """The hooks of this gateway; ``directory`` is where their lists of objects are."""

    def __init__(self, loop: Loop, gateway: str, directory: Path, commands: Mapping[str, Commands], *, jobs: int,
                 timeout_s: float | None, processes: KnownProcesses | None = None,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._directory = directory
        self._commands = commands
        self._jobs = jobs
        self._monotonic = monotonic
        self._processes = processes or KnownProcesses()
        self._runner = HookRunner(loop, self._processes, jobs=jobs, timeout_s=timeout_s)
        self._running: dict[str, Running] = {}  #: by token of the lease
        self._lost: set[int] = set()  #: hooks without a lease that have not ended yet

    def use(self, commands: Mapping[str, Commands]) -> None:
        """Run other commands from now on."""
        self._commands = commands

    def has_hook(self, sender: str) -> bool:
        """Whether there is an end-of-study hook for a section."""
        return self._of(sender).has(STUDY)

    def _of(self, sender: str) -> Commands:
        return self._commands.get(sender) or self._commands[""]

    @property
    def room(self) -> int:
        """How many more may be started."""
        return max(0, self._jobs - len(self._running) - len(self._lost))

    def leases(self) -> list[Lease]:
        """Return the leases of hooks that have not ended."""
        return [running.lease for running in self._running.values() if running.status is None]

    def ended(self) -> Iterator[Running]:
        """Yield the hooks that have ended; ``forget`` them when the database knows it."""
        yield from [running for running in self._running.values() if running.status is not None]

    def forget(self, token: str) -> None:
        """Drop a hook that the database knows of, or that is another's."""
        self._running.pop(token, None)

    def start(self, claim: Claim, lease: Lease, objects: Sequence[Mapping[str, Any]]) -> None:
        """Run the hook of an end."""
        running = self._running[claim.lease] = Running(claim, lease, 0)
        commands = self._of(claim.sender)
        if not commands.has(STUDY):
            running.status = 0
            return
        try:
            file = self._write(claim, objects)
        except OSError as error:
            _log.error("list of the objects of study %s cannot be written: %s", claim.study_uid, error.strerror)
            running.status = NOT_RUN
            return
        call = self._call(claim, objects, file)

        def over(status: int) -> None:
            running.status = status
            self._lost.discard(running.pid)
            file.unlink(missing_ok=True)

        name = f"end-of-study hook of study {printable(claim.study_uid)}, revision {claim.revision}, of the fleet"
        self._processes.latest = 0
        if self._runner.start(name, commands.arguments(STUDY, call["values"]), call["environment"], over):
            running.pid = self._processes.latest
        else:
            over(NOT_RUN)

    def _call(self, claim: Claim, objects: Sequence[Mapping[str, Any]], file: Path) -> variables.Call:
        own = next((entry["path"] for entry in objects if entry["gateway"] == self._gateway), None)
        directory = str(file.parent) if own is None else os.path.dirname(jsontext.meant(own))
        call = variables.end_of_study(claim.caller or variables.NOBODY, directory, claim.study_uid, reason="timeout",
                                      objects=len(objects), revision=claim.revision, manifest=None)
        address = call.pop("host_of", None)
        if address is not None:
            call = variables.with_host_name(call, address)
        call["environment"].update(FASTSCP_GATEWAY=self._gateway, FASTSCP_FLEET_OBJECTS=str(file))
        return call

    def _write(self, claim: Claim, objects: Sequence[Mapping[str, Any]]) -> Path:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._directory / f"{claim.study}-{claim.revision}-{claim.attempts}.json"
        content = {"schema": SCHEMA_VERSION, "study_uid": claim.study_uid, "revision": claim.revision, "gateway": self._gateway,
                   "objects": objects}
        file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return file

    def tidy(self) -> None:
        """Drop the lists that a process left which was killed."""
        before = time.time() - KEEP_LISTS_S
        for file in self._directory.glob("*.json"):
            try:
                if file.stat().st_mtime < before:
                    file.unlink()
            except OSError as error:
                _log.warning("%s stays: %s", file, error.strerror)

    def look(self) -> None:
        """Terminate the hooks whose lease may be another's."""
        now = self._monotonic()
        for running in list(self._running.values()):
            if running.status is None and running.lease.is_over(now):
                self.lose(running.lease.token)

    def lose(self, token: str) -> None:
        """Terminate a hook that is another gateway's now."""
        running = self._running.pop(token, None)
        if running is not None and running.status is None and running.pid:
            _log.warning("the lease of the end of study %s is lost, its hook is terminated", printable(running.claim.study_uid))
            self._lost.add(running.pid)
            self._runner.terminate(running.pid)

    def terminate(self) -> list[str]:
        """Terminate every hook; return the leases, which are to be given back."""
        tokens = [lease.token for lease in self.leases()]
        for token in tokens:
            self.lose(token)
        return tokens
