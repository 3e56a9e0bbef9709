"""The processes that work beside the coordinator, where they are wanted: for storage commitment, a fleet, and an object store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastscp.coordinator.by_sender import StudiesBySender
from fastscp.coordinator.committing import Committing
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.retention import Surroundings
from fastscp.coordinator.rounds import Commits
from fastscp.coordinator.rules import AllRules
from fastscp.coordinator.sessions import Sessions
from fastscp.coordinator.shipping import Shipping
from fastscp.coordinator.tasks import Lanes
from fastscp.coordinator.uploading import Uploading
from fastscp.coordinator.valve import Valve


@dataclass
class Beside:
    """Those that there are."""

    committing: Committing | None = None
    shipping: Shipping | None = None
    uploading: Uploading | None = None

    @property
    def files(self) -> Followers | None:
        """What follows what is done to files."""
        return Followers(None if self.committing is None else self.committing.index,
                         None if self.uploading is None else self.uploading.journal) or None

    @property
    def journal(self) -> FleetJournal | None:
        """What a fleet is told."""
        return None if self.shipping is None else self.shipping.journal

    def begin(self, sessions: Sessions, commits: Commits, changed: Callable[[], None], studies: StudiesBySender | None,
              lanes: Lanes) -> None:
        """Begin; ``changed`` has a round made."""
        if self.committing is not None:
            self.committing.report, self.committing.changed = sessions.answers.report, changed
            commits.index = self.committing.index
            self.committing.begin()
        if self.shipping is not None:
            self.shipping.changed, self.shipping.caught_up = changed, lambda: not sessions.behind
            self.shipping.begin()
        if self.uploading is not None and studies is not None:
            self.uploading.changed = changed
            self.uploading.retention.around = Surroundings(lanes.has_lane, studies.directories)
            self.uploading.begin()

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on."""
        if self.committing is not None:
            self.committing.use(rules)
        if self.shipping is not None:
            self.shipping.use(rules)

    def valve_moved(self, valve: Valve, waiting: int) -> bool:
        """Look at all that waits, tasks at ``valve``; return whether that has changed anything."""
        moved = valve.look(waiting)
        if self.shipping is not None:
            moved |= self.shipping.valve.look(self.shipping.journal.waiting)
        return moved

    def closed(self, valve: Valve) -> bool:
        """Whether objects have to wait."""
        return valve.closed or (self.shipping is not None and self.shipping.valve.closed)

    def committed(self) -> None:
        """Take note that everything is in the state that was read until this round."""
        if self.shipping is not None:
            self.shipping.committed()
        if self.uploading is not None:
            self.uploading.committed()

    def for_good(self) -> None:
        """Take note that no study is left open when the service ends."""
        if self.shipping is not None:
            self.shipping.for_good = True

    def end(self) -> None:
        """Have them end: what they have not done is for the next, the state may be another's."""
        if self.committing is not None:
            self.committing.end()
        if self.shipping is not None:
            self.shipping.end()
        if self.uploading is not None:
            self.uploading.end()

    def close(self) -> None:
        """End, and close what they own."""
        if self.committing is not None:
            self.committing.close()
