"""Carries out requests for commitment: judges them, and has their requestors told.

Strategy: a request is judged at once, and again while objects of it may still come; what was found is kept with it. The result is
told on the association of the request while that is open (the coordinator is asked to have a worker do it), else on one of
ours, tried again with growing pauses. One request after another; what takes long is the disk of a file, or a peer that is silent.

Invariants: a result is in the request's file before anybody is told; the file goes when the requestor has answered, or is
given up. Told at least once: who dies in between tells again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastscp.commitment import requests
from fastscp.commitment.messages import Reference, Result
from fastscp.commitment.outward import NotToldError
from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy
from fastscp.commitment.requests import Pending
from fastscp.commitment.verdicts import Entry, Secure, judge
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable

_log = logging.getLogger(APPLICATION)

LOOK_AGAIN_S = 0.5  #: while objects may come
ANSWER_S = 40.0  #: for a report on the association of the request
LONGEST_PAUSE_S = 3600.0

Find = Callable[[str], Sequence[Entry]]
Tell = Callable[[CommitmentPeer, str, Result], None]


@dataclass(frozen=True)
class World:
    """By what it is touched: the index, the disk, requestors, workers, the time in seconds since the epoch."""

    find: Find
    secure: Secure
    tell: Tell
    report: Callable[[str, str], None]  #: has a worker tell (association, name of the file)
    wall: Callable[[], float]


class Carrier:
    """The requests in ``directory``, which are carried out by ``policy``; that may change."""

    def __init__(self, directory: Path, policy: CommitmentPolicy, world: World, *, durable: bool = False) -> None:
        self._directory = directory
        self.policy = policy
        self._find = world.find
        self._secure = world.secure
        self._tell = world.tell
        self._report = world.report
        self._wall = world.wall
        self._durable = durable
        self._committed: dict[Path, tuple[Reference, ...]] = {}  #: what was found so far
        self._reporting: dict[Path, float] = {}  #: since when a worker tells

    def step(self) -> float | None:
        """Do what is due; return how many seconds later there is more to do, None when nothing is left."""
        pauses = []
        for path in requests.waiting(self._directory):
            pending = requests.read(path)
            if pending is not None:
                pauses.append(self._carry(pending))
        left = [pause for pause in pauses if pause is not None]
        return min(left) if left else None

    def reported(self, name: str, status: int | None) -> None:
        """Take note of how a report of a worker ended; ``status`` is None where there was no association, or no answer."""
        path = self._directory / name
        if self._reporting.pop(path, None) is None:
            return
        pending = requests.read(path)
        if pending is None:
            return
        if status == 0:
            self._done(pending)
            return
        if status is not None:
            _log.error("%s answers the report of transaction %s with status %04X", printable(pending.calling_aet),
                       pending.action.transaction_uid, status)
        pending.association = ""
        self._keep(pending)

    def _carry(self, pending: Pending) -> float | None:
        now = self._wall()
        if pending.result is None:
            result, may_come = judge(pending.action, self._find, self._secure, self._committed.get(pending.path, ()))
            if may_come and now < pending.received + self.policy.wait_s:
                self._committed[pending.path] = result.committed
                return LOOK_AGAIN_S
            self._committed.pop(pending.path, None)
            pending.result = result
            self._keep(pending)
            _log.info("transaction %s of %s: %d objects committed, %d not", result.transaction_uid, printable(pending.calling_aet),
                      len(result.committed), len(result.failed))
        if pending.association:
            return self._have_reported(pending, now)
        if now < pending.next_try:
            return pending.next_try - now
        return self._try(pending, pending.result, now)

    def _have_reported(self, pending: Pending, now: float) -> float:
        """Have a worker tell, and wait for what becomes of it."""
        since = self._reporting.get(pending.path)
        if since is None:
            self._reporting[pending.path] = now
            self._report(pending.association, pending.path.name)
        elif now - since > ANSWER_S:
            self.reported(pending.path.name, None)
            return 0.0
        return LOOK_AGAIN_S

    def _try(self, pending: Pending, result: Result, now: float) -> float | None:
        """Tell the requestor on an association of ours."""
        peer = self.policy.peer(pending.calling_aet)
        if peer is None:
            return self._later(pending, "no address is configured for it", now)
        try:
            self._tell(peer, pending.called_aet, result)
        except NotToldError as error:
            return self._later(pending, str(error), now)
        self._done(pending)
        return None

    def _later(self, pending: Pending, why: str, now: float) -> float | None:
        """Try again after a pause that grows, or give up."""
        pause_s = min(self.policy.retry_pause_s * float(1 << min(pending.attempts, 30)), LONGEST_PAUSE_S)
        pending.attempts += 1
        what = f"{printable(pending.calling_aet)} cannot be told of transaction {pending.action.transaction_uid}: {why}"
        if now + pause_s > pending.received + self.policy.give_up_s:
            _log.error("%s; giving up after %d tries", what, pending.attempts)
            pending.path.unlink(missing_ok=True)
            return None
        _log.warning("%s; trying again in %g seconds", what, pause_s)
        pending.next_try = now + pause_s
        self._keep(pending)
        return pause_s

    def _done(self, pending: Pending) -> None:
        _log.info("%s knows the result of transaction %s", printable(pending.calling_aet), pending.action.transaction_uid)
        pending.path.unlink(missing_ok=True)

    def _keep(self, pending: Pending) -> None:
        requests.put(self._directory, pending, durable=self._durable)
