"""The outbox of a fleet as a relay sees it: a few transactions."""

from __future__ import annotations

from fastscp.fleet import consuming, outbox
from fastscp.fleet.database import Database
from fastscp.relay.broker import Message


class OutboxSource:
    """The outbox, for the consumer of that name. The end of a study of more than ``most_objects`` objects does not list them."""

    def __init__(self, database: Database, consumer: str, most_objects: int) -> None:
        self.consumer = consumer
        self._database = database
        self._most_objects = most_objects

    def take(self, token: str, lease_s: float) -> int | None:
        """Take or renew the lease; return up to where is confirmed, None where another has it. Raises DatabaseError."""
        with self._database.transaction() as cursor:
            return consuming.take(cursor, self.consumer, token, lease_s)

    def read(self, after: int) -> tuple[str, list[Message]]:
        """Return the name of the outbox, and the next messages. Raises DatabaseError."""
        with self._database.transaction() as cursor:
            return outbox.identity(cursor), [
                Message(event.body["study_uid"], event.position, event.time, event.event, line.rstrip(b"\n"))
                for event, line in outbox.read_whole(cursor, after, self._most_objects)]

    def confirm(self, token: str, position: int) -> bool:
        """Take note that everything up to a position is in the broker; False where the lease is another's. Raises DatabaseError."""
        with self._database.transaction() as cursor:
            return consuming.confirm(cursor, self.consumer, token, position)

    def give_back(self, token: str) -> None:
        """Let another relay begin at once. Raises DatabaseError."""
        self._database.close()  # what it was doing may have been interrupted
        with self._database.transaction() as cursor:
            consuming.give_back(cursor, self.consumer, token)
        self._database.close()
