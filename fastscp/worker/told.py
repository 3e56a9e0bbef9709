"""What a worker has told the coordinator, and tells the next one, until it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastscp.process import packets

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
