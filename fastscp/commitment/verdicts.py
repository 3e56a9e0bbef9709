"""Which objects are committed, by what the index and the disk say of them. Pure.

Source: PS3.3 §C.14.1.1 (failure reasons)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastscp.commitment.messages import Action, Failure, Reference, Result

PROCESSING_FAILURE = 0x0110
NO_SUCH_OBJECT_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True)
class Entry:
    """A file of the index."""

    sop_instance: str
    sop_class: str
    directory: str
    file: str
    size: int
    sha256: str | None
    stored: float  #: seconds since the epoch

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{self.directory}/{self.file}"


#: makes sure that a file is there and stays; returns 0, or the reason why that cannot be said
Secure = Callable[[Entry], int]


def failure_of(reference: Reference, entries: Sequence[Entry], secure: Secure) -> int:
    """Return 0 for an object that is committed, else the reason why it is not; the latest file that is in order counts."""
    if not entries:
        return NO_SUCH_OBJECT_INSTANCE
    fitting = [entry for entry in entries if entry.sop_class == reference.sop_class]
    if not fitting:
        return CLASS_INSTANCE_CONFLICT
    reason = NO_SUCH_OBJECT_INSTANCE
    for entry in sorted(fitting, key=lambda entry: entry.stored, reverse=True):
        found = secure(entry)
        if not found:
            return 0
        if found != NO_SUCH_OBJECT_INSTANCE:
            reason = found
    return reason


def judge(action: Action, find: Callable[[str], Sequence[Entry]], secure: Secure,
          known: Iterable[Reference] = ()) -> tuple[Result, bool]:
    """Return the result of a request, and whether a later look may be better. What is ``known`` to be committed is not looked at."""
    committed, failed = list(known), []
    for reference in action.references:
        if reference in known:
            continue
        reason = failure_of(reference, find(reference.sop_instance), secure)
        if reason:
            failed.append(Failure(reference, reason))
        else:
            committed.append(reference)
    may_come = any(failure.reason != CLASS_INSTANCE_CONFLICT for failure in failed)
    return Result(action.transaction_uid, tuple(committed), tuple(failed)), may_come
