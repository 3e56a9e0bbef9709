"""Where the objects of one association wait while its worker holds objects back (``fastscp.worker.intake``)."""

from __future__ import annotations

from fastscp.dimse.provider import StoreRequest
from fastscp.worker.dialogue import Dialogue
from fastscp.worker.intake import Intake


class Turnstile:
    """The one request that waits, and the connection behind it."""

    __slots__ = ("_connection", "_intake", "held")

    def __init__(self, connection: Dialogue, intake: Intake) -> None:
        self._connection = connection
        self._intake = intake
        self.held = False  #: a request waits

    def hold(self, item: StoreRequest) -> None:
        """Have a request handled later; the connection is blocked until then."""
        self.held = True
        self._connection.flow.put_back(item)
        self._intake.wait(self._connection.name, self._let_in)

    def _let_in(self) -> None:
        if self.held:
            self.held = False
            self._connection.resume()

    def leave(self) -> None:
        """Wait no longer: the association ends."""
        if self.held:
            self.held = False
            self._intake.forget(self._connection.name)
