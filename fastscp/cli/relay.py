"""fastscp-relay: carries the events of a fleet to a message broker.

usage: fastscp-relay [options]

It goes on until it is terminated. Exit status 0, or 1 with a message.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
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
from fastscp.relay.brokers import Target, broker_of, check_target

PROGRAM: Final = "fastscp-relay"
STATE: Final = "FASTSCP_STATE"
BROKER: Final = "FASTSCP_RELAY"
PASSWORD: Final = "FASTSCP_RELAY_PASSWORD"  # noqa: S105 - the name of a variable
STREAM: Final = "fastscp"
MOST_OBJECTS: Final = 10_000
LEAST_ENTRIES: Final = 1000  #: of a stream that is cut: what came a moment ago stays
#: short flag, long flag, argument, help
OPTIONS: Final[Options] = (
    ("-h", "--help", "", "print this help text and exit"),
    ("", "--version", "", "print version information and exit"),
    ("", "--state", "url", f"database of the fleet (default: ${STATE})"),
    ("", "--relay", "url", f"broker: redis://... or rediss://... (default: ${BROKER})"),
    ("", "--stream", "name", f"stream that events are appended to (default: {STREAM})"),
    ("", "--maxlen", "number", f"keep about so many entries in the stream, {LEAST_ENTRIES} or more (default: all)"),
    ("", "--replicas", "number", "confirm what so many replicas of the broker have (default: 0)"),
    ("", "--max-objects", "number", f"do not list the objects of a study that has more (default: {MOST_OBJECTS})"),
    ("", "--consumer", "name", "relay under this name (default: relay:STREAM)"),
    ("", "--once", "", "relay what there is, and exit"),
)


@dataclass(frozen=True)
class Wanted:
    """What was given."""

    url: str
    target: Target
    consumer: str
    most_objects: int
    once: bool


def parse(arguments: Sequence[str]) -> Wanted:
    """Return what is wanted. Raises UsageError."""
    settings = read_options(arguments, OPTIONS)
    url = settings.get("--state") or os.environ.get(STATE, "")
    broker = settings.get("--relay") or os.environ.get(BROKER, "")
    for value, option, variable in ((url, "--state", STATE), (broker, "--relay", BROKER)):
        if not value:
            raise UsageError(f"{option} or ${variable} is needed")
    check_url(url)
    check_target(broker)
    stream = settings.get("--stream", STREAM)
    if not stream:
        raise UsageError("Invalid value for option --stream: it is empty")
    target = Target(broker, stream, number_of(settings, "--maxlen", LEAST_ENTRIES), number_of(settings, "--replicas") or 0,
                    os.environ.get(PASSWORD))
    most_objects = number_of(settings, "--max-objects")
    return Wanted(url, target, settings.get("--consumer") or f"relay:{stream}", MOST_OBJECTS if most_objects is None else most_objects,
                  "--once" in settings)


def run(arguments: Sequence[str]) -> int:
    """Do what is asked for; return the exit status. Raises FastscpError."""
    nothing = not arguments and STATE not in os.environ
    if nothing or not {"-h", "--help"}.isdisjoint(arguments):
        return write(1, options_help_text(PROGRAM, OPTIONS))
    if "--version" in arguments:
        return write(1, version_text(PROGRAM))
    wanted = parse(arguments)
    from fastscp.fleet.database import Database, DatabaseError, migrate  # noqa: PLC0415 - needs fastscp[relay], which help does not
    from fastscp.fleet.following import Waker  # noqa: PLC0415 - likewise
    from fastscp.relay.relaying import Relay, relay_events  # noqa: PLC0415 - likewise
    from fastscp.relay.source import OutboxSource  # noqa: PLC0415 - likewise

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broker, waker = broker_of(wanted.target), Waker(wanted.url, name=PROGRAM)
    relay = Relay(OutboxSource(Database(wanted.url, PROGRAM, opened=migrate), wanted.consumer, wanted.most_objects), broker)
    try:
        return relay_events(relay, waker, once=wanted.once, said=partial(warn, PROGRAM))
    except KeyboardInterrupt:
        return 0
    finally:
        waker.close()
        broker.close()
        try:
            relay.leave()
        except DatabaseError as error:
            warn(PROGRAM, f"the lease is not given back, others wait until it is over: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return status_of(PROGRAM, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
