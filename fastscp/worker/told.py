"""What a worker has told the coordinator, and tells the next one, until it is acknowledged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from fastscp.process import packets
from fastscp.process.journal import Journal

Answer = Callable[[packets.Placed], None]
Notice = Callable[[], None]


@dataclass
class ToldAssociation:
    """An association that the coordinator has to know of."""

    opened: packets.Opened
    octets: bytes  #: of that packet
    unacknowledged: int = 0
    closed: packets.Closed | None = None


@dataclass
class ToldPlace:
    """A transfer: a question for a place, and what goes on in it.

    ``answer`` is None once there is one. ``idle``: it is kept for the association's next object of the study.
    """

    packet: packets.Place
    answer: Answer | None
    idle: bool = False
    recalled: bool = False  #: it ends with the object under way


@dataclass
class ToldEvent:
    """An object that the coordinator has to take over, and who waits for which news of it."""

    packet: packets.Stored
    on_sent: Notice | None
    on_acknowledged: Notice | None
    on_ran: Notice | None
    on_failed: Notice | None


@dataclass(frozen=True)
class Memory:
    """What outlives a reporter: the last number of an event that an earlier life used, and where events are kept.

    Without a ``journal`` they are safe with their acknowledgement only.
    """

    events: int = 0
    journal: Journal | None = None


def new_incarnation(now: float) -> str:
    """Name one worker process for life; unique also after pids are used again."""
    return f"{os.getpid()}-{int(now * 1000):x}"
