"""What a service asks of the connection it serves."""

from __future__ import annotations

from typing import Protocol

from fastscp.dimse.command import Command
from fastscp.net.peer import Peer
from fastscp.worker.flow import Flow


class Dialogue(Protocol):
    """The connection (``fastscp.worker.connection``)."""

    name: str  #: unique in the service
    peer: Peer
    flow: Flow

    @property
    def blocked(self) -> bool:
        """Whether nothing further is handled."""

    def block(self) -> None:
        """Handle nothing further until ``resume``."""

    def resume(self) -> None:
        """Go on."""

    def flush(self) -> None:
        """Send what is queued while nothing further is handled."""

    def respond(self, context_id: int, command: Command, code: int, comment: str = "",
                offending: tuple[int, ...] = ()) -> None:
        """Queue a response."""

    def abort(self, why: str, *, source: int, reason: int) -> None:
        """End the association with an A-ABORT; ``why`` is what is told of the objects that this costs."""
