"""What an operator asks of the hooks that failed for good: retry these, forget those.

Strategy: a request is a small file in the state directory, one JSON object, that appears there whole. The coordinator
looks for them now and then, and at its start. So nobody but the coordinator ever writes its database, and a request is
good whether a service runs or not.

Invariant: a request is removed after what it asks for is durable.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from fastscp.log.names import APPLICATION
from fastscp.store import hidden

_log = logging.getLogger(APPLICATION)

RETRY, FORGET = "retry", "forget"
_PREFIX, _SUFFIX, _UNFINISHED = "request-", ".json", ".tmp"


@dataclass(frozen=True)
class Request:
    """``numbers`` is None for all that there are when it is carried out."""

    path: Path
    kind: str
    numbers: list[int] | None


def put(directory: Path, kind: str, numbers: Iterable[int] | None) -> None:
    """Ask for something. Raises OSError."""
    name = f"{_PREFIX}{uuid.uuid4().hex}"
    temporary = directory / f"{name}{_UNFINISHED}"
    octets = orjson.dumps({"kind": kind, "numbers": None if numbers is None else list(numbers)})
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    hidden.claim(descriptor)  # it is not left behind as long as this process lives
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)  # the service may be another user's
            file.write(octets)
            file.flush()
            temporary.rename(directory / f"{name}{_SUFFIX}")
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def waiting(directory: Path, *, discard: bool = False) -> list[Request]:
    """Return what is asked for and was not carried out, the oldest first.

    What is no request is passed over; with ``discard`` it is logged and removed, as is what somebody began who died.
    """
    try:
        names = [name for name in os.listdir(directory) if name.startswith(_PREFIX)]
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.error("cannot look for requests in %s: %s", directory, error.strerror)
        return []
    found: list[tuple[int, Request]] = []
    for path in map(directory.joinpath, names):
        if path.suffix != _SUFFIX:
            if discard and path.suffix == _UNFINISHED:
                _remove_abandoned(path)
            continue
        try:
            found.append((path.stat().st_mtime_ns, _read(path)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if discard:
                _log.error("%s is no request, removed: %s", path, error)
                _unlink(path)
    return [request for _, request in sorted(found, key=lambda entry: entry[0])]


def _remove_abandoned(path: Path) -> None:
    """Remove a request that was never finished, when who began it is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is finished meanwhile, or nobody's business
        return
    try:
        if hidden.claim_abandoned(file):
            _unlink(path)
    finally:
        os.close(file)


def _read(path: Path) -> Request:
    content = orjson.loads(path.read_bytes())
    kind, numbers = content["kind"], content["numbers"]
    if kind not in {RETRY, FORGET} or not all(isinstance(number, int) for number in numbers or ()):
        raise ValueError("neither retry nor forget, with numbers")
    return Request(path, kind, numbers)


def remove(request: Request) -> None:
    """Drop a request that was carried out."""
    _unlink(request.path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.error("cannot remove %s: %s", path, error.strerror)
