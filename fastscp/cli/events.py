"""fastscp-events: the events of a fleet, read by position.

usage: fastscp-events [options]

It prints one JSON object a line. Exit status 0, or 1 with a message.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastscp.cli.build_fleet import check_url
from fastscp.cli.commands import (
    Options,
    number_of,
    options_help_text,
    read_options,
    status_of,
    version_text,
    warn,
)
from fastscp.cli.output import write
from fastscp.errors import UsageError

_TIME: Final = re.compile(r"([1-9][0-9]{0,4})([hd])", re.ASCII)
_PROGRAM: Final = "fastscp-events"
_VARIABLE: Final = "FASTSCP_STATE"
#: short flag, long flag, argument, help
OPTIONS: Final[Options] = (
    ("-h", "--help", "", "print this help text and exit"),
    ("", "--version", "", "print version information and exit"),
    ("", "--state", "url", f"database of the fleet (default: ${_VARIABLE})"),
    ("", "--follow", "", "go on with events that are still to come"),
    ("", "--from", "number", "begin after this position (default: where the consumer has confirmed, else 0)"),
    ("", "--consumer", "name", "confirm what was printed under this name, and begin there the next time"),
    ("", "--positions", "", "list the consumers and up to where each has confirmed, and exit"),
    ("", "--migrate", "", "bring the tables of the database to this version's, and exit"),
    ("", "--maintain", "", "have what is old go, and exit; as the owner of the tables"),
    ("", "--keep", "time", "with --maintain: keep events for so long (30d, 12h)"),
    ("", "--keep-studies", "time", "with --maintain: keep studies and the places of their objects for so long after their end"),
)


@dataclass(frozen=True)
class Wanted:
    """What was given."""

    url: str
    follow: bool
    position: int | None
    consumer: str
    instead: str  #: what is to be done and nothing else: a flag, "" where events are read
    keep_s: int | None = None  #: events
    keep_studies_s: int | None = None


def parse(arguments: Sequence[str]) -> Wanted:
    """Return what is wanted. Raises UsageError."""
    settings = read_options(arguments, OPTIONS)
    url = settings.get("--state") or os.environ.get(_VARIABLE, "")
    if not url:
        raise UsageError(f"--state or ${_VARIABLE} is needed")
    check_url(url)
    instead = next((flag for flag in ("--migrate", "--maintain", "--positions") if flag in settings), "")
    keep = {flag: _seconds(settings, flag) for flag in ("--keep", "--keep-studies") if flag in settings}
    if bool(keep) != (instead == "--maintain"):
        raise UsageError("--maintain needs --keep or --keep-studies, and these need it")
    return Wanted(url, "--follow" in settings, number_of(settings, "--from"), settings.get("--consumer", ""), instead, keep.get("--keep"),
                  keep.get("--keep-studies"))


def _seconds(settings: Mapping[str, str], option: str) -> int:
    found = _TIME.fullmatch(settings[option])
    if found is None:
        raise UsageError(f"Invalid value for option {option}: {settings[option]}")
    return int(found[1]) * {"h": 3600, "d": 86400}[found[2]]


def run(arguments: Sequence[str]) -> int:
    """Do what is asked for; return the exit status. Raises FastscpError."""
    nothing = not arguments and _VARIABLE not in os.environ
    if nothing or not {"-h", "--help"}.isdisjoint(arguments):
        return write(1, options_help_text(_PROGRAM, OPTIONS))
    if "--version" in arguments:
        return write(1, version_text(_PROGRAM))
    wanted = parse(arguments)
    from fastscp.fleet import following  # noqa: PLC0415 - needs fastscp[fleet], which help does not

    if wanted.instead == "--migrate":
        return write(1, f"{following.bring_up_to_date(wanted.url)} steps\n")
    if wanted.instead == "--maintain":
        return _maintain(wanted)
    if wanted.instead == "--positions":
        return write(1, "".join(f"{name}  {position}\n" for name, position in following.positions(wanted.url)))
    return following.follow(wanted.url, wanted.consumer, wanted.position, _print, on=wanted.follow, said=partial(warn, _PROGRAM))


def _maintain(wanted: Wanted) -> int:
    from fastscp.fleet.database import OPENING_S, Database, migrate  # noqa: PLC0415 - needs fastscp[fleet], which help does not
    from fastscp.fleet.retention import maintain  # noqa: PLC0415 - likewise

    database = Database(wanted.url, _PROGRAM, opened=migrate, answer_s=OPENING_S)  # a partition is read whole
    try:
        kept = maintain(database, wanted.keep_s, wanted.keep_studies_s)
    finally:
        database.close()
    for consumer in kept.waiting:
        warn(_PROGRAM, f"events stay for consumer {consumer}, which has not confirmed them")
    begun = ", a new one begun" if kept.cut else ""
    return write(1, f"partitions: {kept.dropped} dropped{begun}; studies: {kept.studies} forgotten\n")


def _print(lines: bytes) -> int | None:
    """Write lines; return the exit status when the reader wants no more, or they cannot be written."""
    view = memoryview(lines)
    try:
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        return 0
    except OSError as error:
        warn(_PROGRAM, f"cannot write: {error.strerror}")
        return 1
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return status_of(_PROGRAM, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
