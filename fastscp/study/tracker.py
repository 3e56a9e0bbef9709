"""Which studies are open, who sends them, and when one ends. Pure: times come in as numbers.

The rule is storescp's (a study ends when an object of another study arrives, or after a timeout), made to
hold when associations overlap. A study has *holders*: the open associations whose most recent object belongs
to it. An object of study T on association *a* makes *a* stop holding its former study; then every open study
other than T with no holder and no transfer under way is complete. An association that ends stops holding, but
completes nothing by itself, because two consecutive associations may carry one study. When associations do
not overlap this is exactly storescp's rule.

That *a* moved on says nothing of what other associations are still to send. So where a timeout is given, it
decides as soon as associations overlap: an object completes only studies that are open *alone*, which means that
with each object since their first, of whichever study, no association was open but the one that brought it.

A transfer may be *kept*: it goes on after its object, and the association's next objects of the study come under it
without a question. Nobody tells when one begins, so a study whose time is over has its kept transfers recalled first.

Invariant: a study with a transfer under way never ends, whatever the clock says. What ages beyond the maximum
while objects are under way is *closing*: new objects open a new study, it ends with its last transfer.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

#: one transfer: (worker, its request number)
Transfer = tuple[Hashable, int]
_Key = TypeVar("_Key", bound=Hashable)


class Holders(Generic[_Key]):
    """The open associations, each with the thing its most recent object belongs to."""

    def __init__(self) -> None:
        self._held: dict[str, _Key] = {}
        self._associations: dict[_Key, set[str]] = {}
        self.free: set[_Key] = set()  #: known, held by no association

    def hold(self, association: str, key: _Key) -> None:
        """Let ``association`` hold ``key`` and nothing else."""
        if self._held.get(association) == key:
            return
        self.release(association)
        self._held[association] = key
        self._associations.setdefault(key, set()).add(association)
        self.free.discard(key)

    def release(self, association: str) -> None:
        """Let ``association`` hold nothing."""
        former = self._held.pop(association, None)
        if former is not None:
            self._associations[former].discard(association)
            if not self._associations[former]:
                self.free.add(former)

    def add_free(self, key: _Key) -> None:
        """Make ``key`` known without an association that holds it."""
        if key not in self._associations:
            self._associations[key] = set()
            self.free.add(key)

    def forget(self, key: _Key) -> None:
        """Drop ``key``; the associations that held it hold nothing."""
        for association in self._associations.pop(key, ()):
            del self._held[association]
        self.free.discard(key)


@dataclass(eq=False)
class Study:
    """One open study. Times are monotonic seconds; ``number`` identifies it in the durable state."""

    number: int
    uid: str
    directory: str
    opened: float
    last: float
    objects: int = 0
    transfers: int = 0  #: under way, kept ones included
    kept: set[Transfer] = field(default_factory=set)  #: go on between two objects
    recalled: bool = False  #: these are to come back
    closing: bool = False
    directory_made: bool = False
    late: bool = False  #: it has ended before: a repeated object may change nothing


class Tracker:
    """The open studies and the rule that ends them."""

    def __init__(self, *, timeout_s: float | None = None, max_age_s: float | None = None,
                 literal_rule: bool = False) -> None:
        self._timeout_s = timeout_s
        self._max_age_s = max_age_s
        self._literal_rule = literal_rule
        self._by_uid: dict[str, Study] = {}
        self._open: dict[int, Study] = {}  #: in order of last activity
        self._transfers: dict[Transfer, Study] = {}
        self._holders: Holders[int] = Holders()
        self._associations: set[str] = set()  #: open ones
        self._alone: set[int] = set()  #: numbers of the studies that are open alone
        self._recalls: list[Transfer] = []

    def use(self, *, timeout_s: float | None, max_age_s: float | None) -> None:
        """Go by other times from now on."""
        self._timeout_s = timeout_s
        self._max_age_s = max_age_s

    def __len__(self) -> int:
        return len(self._open)

    def find(self, uid: str) -> Study | None:
        """Return the open study that takes new objects of ``uid``."""
        return self._by_uid.get(uid)

    def numbered(self, number: int) -> Study | None:
        """Return the open study of that number."""
        return self._open.get(number)

    def directories(self) -> set[str]:
        """Return the directories of the open studies."""
        return {study.directory for study in self._open.values()}

    def of_transfer(self, transfer: Transfer) -> Study | None:
        """Return the study that ``transfer`` was placed in."""
        return self._transfers.get(transfer)

    def add(self, study: Study) -> None:
        """Open ``study``."""
        self._by_uid[study.uid] = study
        self._open[study.number] = study
        if study.objects:
            self._holders.add_free(study.number)

    def begin(self, transfer: Transfer, study: Study) -> None:
        """Count a transfer under way; repeating one changes nothing."""
        if transfer not in self._transfers:
            self._transfers[transfer] = study
            study.transfers += 1

    def cancel(self, transfer: Transfer, now: float) -> list[Study]:
        """Forget a transfer that failed. Returns its study when that leaves it closing and complete.

        A study without any object is dropped silently when its last transfer failed; ``is_void`` tells.
        """
        study = self._end_transfer(transfer, now)
        if study is None or study.transfers:
            return []
        if not study.objects:
            self._remove(study)
        elif study.closing:
            self._remove(study)
            return [study]
        return []

    def is_void(self, study: Study) -> bool:
        """Whether ``study`` was dropped because it never got an object."""
        return not study.objects and study.number not in self._open

    @property
    def lasting(self) -> bool:
        """Whether transfers may be kept. An object that ends all other studies must not have to wait for theirs."""
        return not self._literal_rule

    def stored(self, study: Study, association: str, transfer: Transfer | None,
               now: float, *, keeps: bool = False) -> list[Study]:
        """Count an object that ``association`` stored in ``study``; return the studies this completes.

        ``keeps``: the transfer goes on.
        """
        study.objects += 1
        self._touch(study, now)
        if transfer is not None:
            if keeps and self._transfers.get(transfer) is study:
                study.kept.add(transfer)
            else:
                self._end_transfer(transfer, now)
        self._holders.hold(association, study.number)
        if self._associations - {association}:
            self._alone.clear()
        elif study.objects == 1:
            self._alone.add(study.number)
        candidates = self._open if self._literal_rule else sorted(self._holders.free)
        ended = [other for number in candidates if (other := self._open[number]) is not study
                 and self.may_end_at_once(other) and not other.transfers and other.objects]
        if study.closing and not study.transfers:
            ended.append(study)
        for other in ended:
            self._remove(other)
        return ended

    def may_end_at_once(self, study: Study) -> bool:
        """Whether an object of another study may end ``study`` or a series of it, rather than its timeout."""
        return self._literal_rule or self._timeout_s is None or study.number in self._alone

    def open(self, association: str) -> None:
        """Take note that ``association`` is open; repeating it changes nothing."""
        self._associations.add(association)

    def hold(self, association: str, study: Study) -> None:
        """Restore what an earlier coordinator knew about a holder."""
        self._holders.hold(association, study.number)

    def close(self, association: str) -> None:
        """Take note that ``association`` ended; by itself this completes nothing."""
        self._associations.discard(association)
        self._holders.release(association)

    def due(self, now: float, most: int | None = None) -> list[Study]:
        """Return the studies whose time is over, oldest activity first, and no more than ``most`` of them."""
        ended: list[Study] = []
        for study in list(self._open.values()):
            if self._max_age_s is not None and study.opened + self._max_age_s <= now and study.objects:
                self._close_to_new(study)
            if (study.transfers > len(study.kept) and not study.closing) or not study.objects:
                continue
            if study.closing or (self._timeout_s is not None and study.last + self._timeout_s <= now):
                if study.transfers:
                    self._recall(study)
                    continue
                ended.append(study)
                if len(ended) == most:
                    break
        for study in ended:
            self._remove(study)
        return ended

    def deadline(self) -> float | None:
        """Return the earliest time at which ``due`` may have something, None when only objects count."""
        times = []
        if self._timeout_s is not None:
            last = next((study.last for study in self._open.values() if study.objects and not study.recalled
                         and study.transfers == len(study.kept)), None)
            if last is not None:
                times.append(last + self._timeout_s)
        if self._max_age_s is not None:
            times.extend(study.opened + self._max_age_s for study in self._open.values()
                         if study.objects and not study.closing)
        return min(times, default=None)

    def recalls(self) -> list[Transfer]:
        """Return, once, the kept transfers that are to come back."""
        recalls, self._recalls = self._recalls, []
        return recalls

    def _recall(self, study: Study) -> None:
        if not study.recalled:
            study.recalled = True
            self._recalls.extend(sorted(study.kept, key=str))

    def drop_void(self) -> list[Study]:
        """Forget and return the studies that have no object and none under way."""
        void = [study for study in self._open.values() if not study.objects and not study.transfers]
        for study in void:
            self._remove(study)
        return void

    def drain(self) -> list[Study]:
        """End everything: transfers under way are void."""
        ended = [study for study in self._open.values() if study.objects]
        self._open.clear()
        self._by_uid.clear()
        self._transfers.clear()
        self._alone.clear()
        self._holders = Holders()
        return ended

    def _touch(self, study: Study, now: float) -> None:
        study.last = now
        if study.number in self._open:
            del self._open[study.number]
            self._open[study.number] = study

    def _end_transfer(self, transfer: Transfer, now: float) -> Study | None:
        study = self._transfers.pop(transfer, None)
        if study is not None:
            study.transfers -= 1
            if transfer in study.kept:
                study.kept.discard(transfer)
            else:
                self._touch(study, now)
            study.recalled = study.recalled and bool(study.kept)
            if study.objects:
                self._holders.add_free(study.number)
        return study

    def _close_to_new(self, study: Study) -> None:
        study.closing = True
        if self._by_uid.get(study.uid) is study:
            del self._by_uid[study.uid]

    def _remove(self, study: Study) -> None:
        self._open.pop(study.number, None)
        self._holders.forget(study.number)
        self._alone.discard(study.number)
        if self._by_uid.get(study.uid) is study:
            del self._by_uid[study.uid]
