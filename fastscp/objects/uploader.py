"""What is uploaded when: a few things at once, each again and again until it is there.

Strategy: a *turn* looks into the journal and gives work to threads (``Hands``), no more than there are; what comes back is told to
the coordinator, which writes it down. What was told is not looked at for a while, until it can be read that it was written down; then
it is done again, which changes nothing. While the store is away one thing at a time is tried, after growing pauses. What cannot be read
rests by itself and holds nothing else up.

Invariant: nothing here has to be remembered. Whoever begins anew finds everything in the journal and in the store.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fastscp.errors import FastscpError, ProcessError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.objects import patience
from fastscp.objects.journal import Complete, Waiting
from fastscp.objects.manifest import ManifestError
from fastscp.objects.store import AwayError, StoreError
from fastscp.objects.uploading import UnreadableError, Wanted

_log = logging.getLogger(APPLICATION)

TURN_S: Final = 0.25  #: between two looks when nothing happens
STATE_S: Final = 1.0  #: between two reports of how much waits
WRITTEN_DOWN_S: Final = 30.0  #: what was told is in the journal by then
MOST_AHEAD: Final = 256
MOST_RESTING: Final = 10_000
LOGGED_AT: Final = 4  #: failures of one file: before that it may be on its way to another name

Job = Callable[[], Any]


class Hands(Protocol):
    """Threads."""

    def give(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> None:
        """Have a job done; ``done`` hears its result, or what it raised, in the thread of the loop."""


class Journal(Protocol):
    """What waits."""

    def wanted(self, after: int, most: int) -> list[Wanted]: ...  # noqa: D102
    def waiting(self) -> Waiting: ...  # noqa: D102


class Ends(Protocol):
    """Manifests, of this gateway alone or of a fleet."""

    pause_s: float

    def look(self, known: Iterable[int]) -> list[Complete]:
        """Return what is to be written now."""

    def write(self, complete: Complete) -> list[int]:
        """Write a manifest; return which ends here need none any more."""


@dataclass
class _Rest:
    """Something that failed. ``until`` is when it is tried again."""

    failures: int
    until: float


class Uploader:
    """Carries the ``journal`` to the store. ``upload`` does it for one file, ``probe`` asks the store for something.

    ``tell`` hears packets for the coordinator.
    """

    def __init__(self, journal: Journal, ends: Ends, upload: Callable[[Wanted], str], hands: Hands,
                 tell: Callable[[dict[str, Any]], bool], *, jobs: int, probe: Job = lambda: None, monotonic: Callable[[], float] = time.monotonic,
                 chance: Callable[[], float] = random.random) -> None:
        self._journal = journal
        self._ends = ends
        self._upload = upload
        self._hands = hands
        self._tell = tell
        self._jobs = jobs
        self._probe = probe
        self._monotonic = monotonic
        self._chance = chance
        self._breaker = patience.Breaker()
        self._ahead: deque[Wanted] = deque()
        self._ends_ahead: deque[Complete] = deque()
        self._after = 0
        self._under_way: set[int] = set()  #: numbers of files
        self._writing: set[int] = set()  #: numbers of ends
        self._looking = self._trying = False
        self._told: dict[int, float] = {}  #: until when a file is not looked at
        self._told_ends: dict[int, float] = {}
        self._resting: dict[int, _Rest] = {}
        self._resting_ends: dict[int, _Rest] = {}
        self._outbox: deque[dict[str, Any]] = deque()
        self._state_due = 0.0
        self._looked_s = float("-inf")
        self._ending = False
        self._unread = False  #: the journal could not be read

    @property
    def busy(self) -> bool:
        """Whether something is under way, or is still to be told."""
        return bool(self._count or self._outbox)

    @property
    def _count(self) -> int:
        return len(self._under_way) + len(self._writing) + self._looking + self._trying

    def end(self) -> None:
        """Begin with nothing more."""
        self._ending = True

    def turn(self) -> float:
        """Give out what can be done now; return the pause until the next turn."""
        now = self._monotonic()
        try:
            self._report(now)
            if not self._ending:
                self._fill(now)
        except ProcessError as error:
            if not self._unread:
                _log.error("%s", error)
            self._unread = True
        else:
            self._unread = False
        while self._outbox and self._tell(self._outbox[0]):
            self._outbox.popleft()
        return TURN_S

    def _give(self, job: Job, done: Callable[[Any, BaseException | None], None]) -> None:
        """Have a job done; whatever comes of it, there is room for another."""
        def over(result: Any, error: BaseException | None) -> None:
            done(result, error)
            self.turn()

        self._hands.give(job, over)

    def _fill(self, now: float) -> None:
        self._look(now)
        while self._count < self._jobs and self._breaker.allows(now, self._count):
            if self._ends_ahead:
                self._write(self._ends_ahead.popleft())
            elif self._next_file(now):
                self._send(self._ahead.popleft())
            elif self._breaker.troubled:  # nothing waits that would tell that the store is there again
                self._try()
            else:
                return

    def _try(self) -> None:
        """Ask the store for something, whatever it says."""
        self._trying = True
        self._give(self._probe, self._tried)

    def _tried(self, _result: Any, error: BaseException | None) -> None:
        self._trying = False
        if error is None or not self._failed(error):
            self._succeeded()

    # -- files ------------------------------------------------------------------------------------

    def _next_file(self, now: float) -> bool:
        """Have a file ahead that may be tried; False when there is none now."""
        while True:
            while self._ahead and not self._may(self._ahead[0].number, now):
                self._ahead.popleft()
            if self._ahead:
                return True
            began = self._after
            found = self._journal.wanted(began, MOST_AHEAD)
            self._after = found[-1].number if len(found) == MOST_AHEAD else 0
            self._ahead.extend(found)
            if not any(self._may(wanted.number, now) for wanted in found):
                self._ahead.clear()
                if not self._after:
                    self._forget(now)
                    return False

    def _may(self, number: int, now: float) -> bool:
        rest = self._resting.get(number)
        return not (number in self._under_way or self._told.get(number, 0.0) > now or (rest is not None and rest.until > now))

    def _forget(self, now: float) -> None:
        """Drop what needs no memory any more, at the end of a pass over the journal."""
        self._told = {number: until for number, until in self._told.items() if until > now}
        self._told_ends = {number: until for number, until in self._told_ends.items() if until > now}
        for resting in (self._resting, self._resting_ends):
            for number in [number for number, rest in resting.items() if rest.until + patience.LONGEST_OF_ONE_S < now]:
                del resting[number]

    def _send(self, wanted: Wanted) -> None:
        self._under_way.add(wanted.number)
        self._give(lambda: self._upload(wanted), lambda identity, error: self._sent(wanted, identity, error))

    def _sent(self, wanted: Wanted, identity: str, error: BaseException | None) -> None:
        self._under_way.discard(wanted.number)
        if error is None:
            self._succeeded()
            self._resting.pop(wanted.number, None)
            self._told[wanted.number] = self._monotonic() + WRITTEN_DOWN_S
            self._outbox.append({"kind": "confirmed", "number": wanted.number, "identity": identity, "key": wanted.key, "size": wanted.size})
        elif not self._failed(error):
            self._rest(self._resting, wanted.number, error, wanted.path)

    # -- ends of studies --------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Look for ends, in a thread: a fleet's database may take its time."""
        if self._looking or self._ends_ahead or not self._breaker.allows(now, self._count) or now < self._looked_s + self._ends.pause_s:
            return
        self._looking, self._looked_s = True, now
        known = {number for number, until in self._told_ends.items() if until > now} | self._writing | {
            number for number, rest in self._resting_ends.items() if rest.until > now}
        self._give(lambda: self._ends.look(known), self._looked)

    def _looked(self, found: list[Complete], error: BaseException | None) -> None:
        self._looking = False
        if error is not None:
            _log.debug("ends of studies are looked for again: %s", error)
            self._looked_s = self._monotonic() + 1.0
        else:
            self._ends_ahead.extend(found)

    def _write(self, complete: Complete) -> None:
        self._writing.update(complete.parts)
        self._give(lambda: self._ends.write(complete), lambda parts, error: self._wrote(complete, parts, error))

    def _wrote(self, complete: Complete, parts: list[int], error: BaseException | None) -> None:
        self._writing.difference_update(complete.parts)
        if error is None:
            self._succeeded()
            now = self._monotonic()
            self._told_ends.update(dict.fromkeys(parts, now + WRITTEN_DOWN_S))
            self._outbox.extend({"kind": "written", "part": part} for part in parts)
        elif not self._failed(error):
            for part in complete.parts:
                self._rest(self._resting_ends, part, error, f"manifest of study {complete.key}")

    # -- what comes of it -------------------------------------------------------------------------

    def _succeeded(self) -> None:
        if self._breaker.succeeded():
            _log.warning("the object store is there again")

    def _failed(self, error: BaseException) -> bool:
        """Take note of a failure; return whether it is the store's."""
        if not isinstance(error, AwayError):
            return False
        if self._breaker.failed(self._monotonic(), self._chance()):
            _log.error("the object store is away, %s; objects are received, and wait", printable(str(error)))
        return True

    def _rest(self, resting: dict[int, _Rest], number: int, error: BaseException, what: str) -> None:
        rest = resting.get(number) or _Rest(0, 0.0)
        rest.failures += 1
        rest.until = self._monotonic() + patience.pause_s(rest.failures, self._chance(), patience.LONGEST_OF_ONE_S)
        if len(resting) < MOST_RESTING:
            resting[number] = rest
        if isinstance(error, ManifestError | StoreError) or (isinstance(error, UnreadableError) and rest.failures == LOGGED_AT):
            _log.error("%s cannot be uploaded: %s; trying again", printable(what), printable(str(error)))
        elif not isinstance(error, FastscpError):
            _log.error("internal error, %s is tried again", printable(what), exc_info=error)

    def _report(self, now: float) -> None:
        if now < self._state_due:
            return
        self._state_due = now + STATE_S
        waiting = self._journal.waiting()
        unreadable = sum(rest.failures >= LOGGED_AT for rest in self._resting.values())
        self._outbox.append({"kind": "state", "away": self._breaker.away, "objects": waiting.objects, "octets": waiting.octets,
                             "unreadable": unreadable})
