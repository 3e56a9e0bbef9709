"""What a relay asks of a message broker, whichever it is.

A new kind of broker is a class with these methods, and a line in ``fastscp.relay.brokers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fastscp.errors import ProcessError


class BrokerError(ProcessError):
    """The broker is away, or does not take what it is given."""


@dataclass(frozen=True)
class Message:
    """An event on its way. Messages of one ``key`` stay in the order of ``position``."""

    key: str  #: UID of the study
    position: int  #: in the outbox
    time: str  #: when it was told; later positions have no earlier times
    event: str
    body: bytes  #: JSON, as fastscp-events prints it


class Broker(Protocol):
    """Takes messages."""

    def send(self, source: str, messages: Sequence[Message]) -> None:
        """Return when every message is in the broker, as durably as it was asked for.

        ``source`` names the outbox. The same messages may come again, after a failure or from a relay that was thought dead: the
        order of first arrivals of a key has to stay right, and what is there already need not be taken twice. Bounded in time. Raises BrokerError:
        then any number of them, from the first on, may be there.
        """

    def close(self) -> None:
        """Give the connection back."""
