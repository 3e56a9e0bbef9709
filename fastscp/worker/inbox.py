"""What a peer said and nobody has handled yet: events of the upper layer made into items, in order of arrival.

Items are the events themselves (``Established``, ``ReleaseRequested`` ...), what the message provider makes of
fragments (requests, data, ends of data), and a ``PeerError`` in the place of what broke the message.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from fastscp.dimse.provider import DataFragments, Provider, StoreRequest, UnrecognizedRequest
from fastscp.errors import PeerError
from fastscp.ul.association import Association
from fastscp.ul.events import AssociationEvent, Established, Fragments

_NOTHING = memoryview(b"")


class Inbox:
    """The items of one association. ``provider`` is there while the association is open, for its answers too."""

    __slots__ = ("_commits", "_fresh", "borrowed", "items", "provider", "unread")

    def __init__(self, *, commits: bool = False) -> None:
        """``commits``: storage commitment is served, too."""
        self._commits = commits
        self.unread = _NOTHING  #: octets that were received, and are not made items yet
        self.borrowed = False  #: they are in a receive buffer
        self._fresh = False  #: there may be items whose views are
        self.items: deque[Any] = deque()
        self.provider: Provider | None = None

    @property
    def inside_message(self) -> bool:
        """Whether a command or a data set has begun and is not complete."""
        return self.provider is not None and self.provider.inside_message

    def receive(self, octets: memoryview) -> None:
        """Take octets of the receive buffer."""
        self.unread = octets
        self.borrowed = True

    def decode(self, association: Association) -> None:
        """Make items of the octets, or of some where they mean a great many.

        Raises ``PeerError`` for a violation, with the items before it in their place; nothing counts behind it.
        """
        octets = self.unread
        try:
            events = association.receive(octets)
        except PeerError as error:
            self.unread = _NOTHING
            self.put(error.events)
            raise
        self.unread = octets[len(octets) - association.left:] if association.left else _NOTHING
        self.put(events)

    def put(self, events: list[AssociationEvent]) -> None:
        """Take what one read brought; fragments that follow each other go to the provider together."""
        items = self.items
        self._fresh = True
        fragments: list[Fragments] = []
        for event in events:
            if type(event) is tuple:
                fragments.append(event)
                continue
            if fragments:
                self._assemble(fragments)
                fragments = []
            items.append(event)
            if type(event) is Established:
                self.provider = Provider(event.contexts, event.request.max_pdu_length, commits=self._commits)
        if fragments:
            self._assemble(fragments)

    def _assemble(self, fragments: list[Fragments]) -> None:
        if self.provider is None:
            return
        try:
            self.items.extend(self.provider.receive(fragments))
        except PeerError as error:
            self.items.extend(error.items)
            self.items.append(error)

    def take_unserved(self) -> list[StoreRequest | UnrecognizedRequest]:
        """Empty it; return the requests that nobody has handled, with the one whose data set is being passed over."""
        unserved = [item for item in self.items if isinstance(item, StoreRequest | UnrecognizedRequest)]
        passed_over = None if self.provider is None else self.provider.passed_over
        if passed_over is not None:
            unserved.append(passed_over)
        self.items.clear()
        self.unread = _NOTHING
        return unserved

    def keep(self) -> None:
        """Copy what waits out of the receive buffer, which others are about to use."""
        if self.borrowed:
            self.unread = memoryview(bytes(self.unread))
            self.borrowed = False
        if self._fresh:
            for item in self.items:
                if type(item) is DataFragments:
                    item.views[:] = [memoryview(b"".join(item.views))]
            self._fresh = False
