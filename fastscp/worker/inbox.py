"""What a peer said and nobody has handled yet: events of the upper layer made into items, in order of arrival.

Items are the events themselves (``Established``, ``ReleaseRequested`` ...), what the message provider makes of
fragments (requests, data, ends of data), and a ``PeerError`` in the place of what broke the message.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from fastscp.dimse.provider import DataFragments, Provider, StoreRequest, UnrecognizedRequest
from fastscp.errors import PeerError
from fastscp.ul.events import AssociationEvent, Established, Fragments


class Inbox:
    """The items of one association. ``provider`` is there while the association is open, for its answers too."""

    __slots__ = ("items", "provider")

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.provider: Provider | None = None

    @property
    def inside_message(self) -> bool:
        """Whether a command or a data set has begun and is not complete."""
        return self.provider is not None and self.provider.inside_message

    def put(self, events: list[AssociationEvent]) -> None:
        """Take what one read brought; fragments that follow each other go to the provider together."""
        items = self.items
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
                self.provider = Provider(event.contexts, event.request.max_pdu_length)
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
        return unserved

    def keep(self) -> None:
        """Copy what waits out of the receive buffer, which others are about to use."""
        for item in self.items:
            if type(item) is DataFragments:
                item.views[:] = [memoryview(bytes(view)) for view in item.views]
