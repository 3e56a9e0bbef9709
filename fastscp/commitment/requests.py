"""Requests that were taken and whose result was not told yet: a file each, below the state directory.

Strategy: a worker writes a file and answers; the process of ``fastscp.commitment.program`` changes it with what it has found
out and removes it when the requestor knows, or is given up. So a request outlives every process. The name of a file follows from
requestor and transaction: asking twice is asking once.

Invariants: a file is there whole, or not at all; of one title and of all there are no more than a disk and a process can bear.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from fastscp.commitment.messages import Action, Failure, Reference, Result
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

DIRECTORY = "commitments"
#: requests that may wait: of one title, of all, and their octets
MOST_OF_TITLE, MOST, MOST_OCTETS = 100, 1000, 256 << 20
_SUFFIX = ".json"
_TITLE_DIGITS = 16


@dataclass
class Pending:
    """A request, and how far it has come. Times are seconds since the epoch."""

    action: Action
    calling_aet: str
    called_aet: str
    association: str  #: on which it came, as long as its result may be told there
    received: float
    result: Result | None = None
    attempts: int = 0  #: to tell the requestor on another association
    next_try: float = 0.0
    path: Path = field(default_factory=Path)


def _name(pending: Pending) -> str:
    """Return the name of its file; those of one title begin alike."""
    title, transaction = pending.calling_aet.encode(), pending.action.transaction_uid.encode()
    whose, which = hashlib.sha256(title), hashlib.sha256(title + b"\0" + transaction)
    return f"{whose.hexdigest()[:_TITLE_DIGITS]}-{which.hexdigest()[:32]}{_SUFFIX}"


def has_room(directory: Path, pending: Pending) -> bool:
    """Tell whether another request may wait; one that is there already may be replaced. Raises OSError."""
    name = _name(pending)
    of_title = octets = 0
    found = waiting(directory)
    for path in found:
        if path.name == name:
            return True
        of_title += path.name.startswith(name[:_TITLE_DIGITS + 1])
        with contextlib.suppress(FileNotFoundError):  # it has just been carried out
            octets += path.stat().st_size
    return of_title < MOST_OF_TITLE and len(found) < MOST and octets < MOST_OCTETS


def put(directory: Path, pending: Pending, *, durable: bool = False) -> Path:
    """Keep a request, or what has become of it. Raises OSError."""
    action = pending.action
    path = directory / _name(pending)
    octets = orjson.dumps({
        "transaction": action.transaction_uid, "references": [_pair(of) for of in action.references],
        "calling_aet": pending.calling_aet, "called_aet": pending.called_aet, "association": pending.association,
        "received": pending.received, "attempts": pending.attempts, "next_try": pending.next_try,
        "result": None if pending.result is None else {
            "committed": [_pair(of) for of in pending.result.committed],
            "failed": [[*_pair(failure.reference), failure.reason] for failure in pending.result.failed]}})
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = directory / f"{path.name}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        file.write(octets)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.rename(path)
    return path


def _pair(of: Reference) -> list[str]:
    return [of.sop_class, of.sop_instance]


def waiting(directory: Path) -> list[Path]:
    """Return the files of requests."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX)
    except FileNotFoundError:
        return []


def read(path: Path) -> Pending | None:
    """Read a request. What is none is logged and removed; what cannot be read now is logged, and may be another time."""
    try:
        content = orjson.loads(path.read_bytes())
        action = Action(content["transaction"], tuple(Reference(*pair) for pair in content["references"]))
        result = content["result"] and Result(
            action.transaction_uid, tuple(Reference(*pair) for pair in content["result"]["committed"]),
            tuple(Failure(Reference(*row[:2]), row[2]) for row in content["result"]["failed"]))
        return Pending(action, content["calling_aet"], content["called_aet"], content["association"], content["received"],
                       result, content["attempts"], content["next_try"], path)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.error("%s cannot be read: %s", path, error.strerror)
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.error("%s is no request for commitment, removed: %s", path, error)
        path.unlink(missing_ok=True)
        return None
