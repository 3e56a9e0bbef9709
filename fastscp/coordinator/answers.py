"""What workers are to be told: gathered until it is durable, held back while the state takes nothing.

Invariant: nobody is told what is not durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastscp.coordinator.session import Session, encoded, refusal
from fastscp.process import packets


class Answers:
    """The answers to all workers, in order."""

    def __init__(self, sessions: Callable[[], Iterable[Session]], abandon: Callable[[Session, int], None], *,
                 sorts: bool) -> None:
        """``sessions`` are those of all workers, ``abandon`` takes a place back; ``sorts``: places are in the state."""
        self._sessions = sessions
        self._abandon = abandon
        self._sorts = sorts
        self._outgoing: list[tuple[Session, packets.CoordinatorPacket]] = []
        self._held: list[tuple[Session, packets.CoordinatorPacket]] = []  #: what they say is not durable
        self.trouble = ""  #: why the state takes nothing

    def put(self, session: Session, packet: packets.CoordinatorPacket) -> None:
        """Tell a worker something once it is durable."""
        self._outgoing.append((session, packet))

    def acknowledge(self, session: Session, event: int) -> None:
        """Acknowledge an event, together with the one before where that leaves now, too."""
        if self._outgoing:
            latest, packet = self._outgoing[-1]
            if latest is session and packet["kind"] == "ack" and packet["event"] == event - 1:
                packet["event"] = event
                return
        self.put(session, {"kind": "ack", "first": event, "event": event})

    def report(self, association: str, file: str) -> bool:
        """Have a worker tell the result of a request for commitment on an association, if that is there."""
        sessions = [session for session in self._sessions() if association in session.associations]
        for session in sessions:
            self.put(session, {"kind": "report", "association": association, "file": file})
        return bool(sessions)

    def send(self) -> None:
        """Send what is to be told; the caller has made it durable."""
        outgoing, self._outgoing = self._outgoing, []
        for session, packet in outgoing:
            session.channel.send(encoded(packet))

    def hold(self, reason: str) -> None:
        """Keep back what is not durable, for this ``reason``; no object is placed until ``release``."""
        if not self.trouble:
            self.trouble = reason
            for session in self._sessions():
                self.tell_trouble(session)
        outgoing, self._outgoing = self._outgoing, []
        for session, packet in outgoing:
            if packet["kind"] != "placed":
                self._held.append((session, packet))
            elif packet["status"] or not self._sorts:
                self.put(session, packet)
            else:
                self._abandon(session, packet["request"])
                self.put(session, refusal(packet["request"], reason))
        self.send()

    def release(self) -> None:
        """Go on: everything is durable."""
        if self.trouble:
            self.trouble = ""
            for session in self._sessions():
                self.tell_trouble(session)
        self._outgoing, self._held = [*self._held, *self._outgoing], []
        self.send()

    def tell_trouble(self, session: Session) -> None:
        """Tell a worker why the state takes nothing, or that it does again."""
        session.channel.send(packets.encode({"kind": "trouble", "reason": self.trouble}))
