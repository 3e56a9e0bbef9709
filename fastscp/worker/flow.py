"""What of one connection happens when: in the order of arrival, turn by turn, and not while something is waited for.

Strategy: octets become items, items are handled one by one. An item that has to wait *blocks* the connection: what is
behind it is kept, and nothing is read until it goes on. So does a turn that is over (``fastscp.worker.turn``): the
connection pauses until the next round of the loop.

Invariants: everything that happens to a connection happens in ``enter``, so that an error that nobody expected ends
this connection and no other; nothing stays in the receive buffer when another connection may use it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from fastscp.errors import PeerError
from fastscp.net.peer import Peer
from fastscp.net.transport import TransportError
from fastscp.ul.association import Association
from fastscp.worker.context import ConnectionContext
from fastscp.worker.gathering import Gathering
from fastscp.worker.inbox import Inbox
from fastscp.worker.stream import Stream
from fastscp.worker.turn import Turn

_EXPECT_S = 0.02  #: how long octets may wait for others of their message
_EXPRESS_OBJECTS = 32  #: stored without a look at the time, some 2 ms


class Lane(Protocol):
    """An express lane: of the core, or one that tells of what that did."""

    @property
    def stored(self) -> int:
        """Objects of the last ``take``."""

    @property
    def written(self) -> int:
        """Octets of their files."""

    @property
    def replaced(self) -> list[bytes]:
        """Names of those in whose place an earlier file was."""

    directory: str  #: of these files

    def take(self, octets: memoryview, output: bytearray, most: int) -> int:
        """Store what can be stored of what was read, and append the answers; return how many octets that took."""

    def missing(self, octets: memoryview) -> int:
        """Return how many octets, at least, a message lacks that would be taken if it were whole; 0 for others."""

    def leave(self) -> None:
        """Give back what is open: nothing further is stored."""


class Owner(Protocol):
    """The connection."""

    peer: Peer

    def handle(self, item: Any) -> None:
        """Handle the next item."""

    def violated(self, error: PeerError) -> None:
        """End after what the upper layer found; items before it have been handled, or wait."""

    def end_of_file(self) -> None:
        """End: the peer sends nothing more."""

    def lost(self, reason: str) -> None:
        """End: the transport failed."""

    def failed(self) -> None:
        """End after an error that nobody expected; it is being handled."""

    def update(self) -> None:
        """Find out anew what is waited for."""

    def took(self, lane: Lane) -> None:
        """Take note of what the express lane has stored and answered."""


class Flow:
    """The order of what happens to one connection."""

    def __init__(self, owner: Owner, context: ConnectionContext, stream: Stream, association: Association) -> None:
        self.inbox = Inbox(commits=context.service.commitment is not None)
        self.lane: Lane | None = None  #: where C-STORE requests that need no decision go, while the association is open
        self.turn = Turn(context.loop, context.clock)
        self.blocked = False
        self.working = False  #: blocked by what goes on by itself, in the next round
        self._owner = owner
        self._loop = context.loop
        self._intake = context.service.intake
        self._stream = stream
        self._association = association
        self._pumping = False
        self._said = context.said
        self._gathering = Gathering(context.service.intake)
        self._expecting = False
        self._fresh = 0  #: octets that were read last into the receive buffer

    @property
    def between_messages(self) -> bool | None:
        """Whether no message of the peer is under way; None once the association is over."""
        if self.inbox.provider is None:
            return None
        return not (self.blocked or self.inbox.items or self.inbox.inside_message or self._association.inside_pdu)

    def request(self, context_id: int, command: bytes, data: bytes) -> None:
        """Send a request of ours, between two messages of the peer."""
        if self.inbox.provider is not None:
            self._stream.output += self.inbox.provider.encode_request(context_id, command, data)
            self.enter(self._flush)

    def _flush(self) -> None:
        self._stream.flush()
        self._owner.update()

    def enter(self, step: Callable[..., None], *arguments: Any) -> None:
        """Do something for the connection, within its turn."""
        said = self._said
        before, said.peer = said.peer, self._owner.peer.address
        self.turn.begin()
        try:
            step(*arguments)
        except TransportError as error:
            self._owner.lost(str(error))
        except Exception:  # noqa: BLE001 - the boundary of one connection
            self._owner.failed()
        finally:
            said.peer = before

    def read(self) -> None:
        """Handle what was read, and read on while the transport has something and the turn goes on."""
        stream, inbox = self._stream, self.inbox
        while True:
            if (not inbox.unread or self._gathering.active) and not self._receive():
                return
            if not self._take():
                return
            if self.blocked or stream.closed or not (inbox.unread or stream.transport.pending()):
                return
            if self.turn.over():
                self._pause()
                self._owner.update()
                return

    def _receive(self) -> bool:
        """Receive what is there; False where that is nothing, or the end."""
        gathering = self._gathering
        buffer = gathering.room if gathering.active else self._intake.buffer
        count = self._stream.transport.receive_into(buffer)
        if count < 0:
            return False
        if count == 0:
            if not gathering.active or (self._decode() and not self._stream.closed):
                self._owner.end_of_file()
            return False
        if gathering.active:
            self.inbox.receive(gathering.add(count))
        else:
            self.inbox.receive(buffer[:count])
            self._fresh = count
        return True

    def _take(self) -> bool:
        """Handle what was received, by the express lane where there is one and it can; False where there is no more to do."""
        lane = self.lane
        if lane is None:
            return self._decode()
        if self._express(lane):
            return True
        if self._gather(lane):
            return bool(self._stream.transport.pending())
        return self._decode()

    def _decode(self) -> bool:
        """Handle what was read, in order; False after a violation."""
        try:
            self.inbox.decode(self._association)
        except PeerError as error:
            self.pump()
            self._owner.violated(error)
            return False
        if self._gathering.active:
            self._stop_gathering()
        self.pump()
        return True

    def _stop_gathering(self) -> None:
        self.inbox.keep()
        self._gathering.end()
        if not self._stream.closed:
            self._stream.transport.expect(1)

    @property
    def inside(self) -> bool:
        """Whether something that the peer has begun is not complete."""
        return self._association.inside_pdu or self.inbox.inside_message or self._gathering.active

    def close_lane(self) -> None:
        """Have nothing further taken by the express lane."""
        if self.lane is not None:
            self.lane.leave()
            self.lane = None

    @property
    def gathering(self) -> bool:
        """Whether a message waits here until it is whole."""
        return self._gathering.active

    def _gather(self, lane: Lane) -> bool:
        """Leave a message that the lane can take in the buffer until it is whole; False where that is of no use."""
        inbox = self.inbox
        if inbox.items or inbox.inside_message or self._association.inside_pdu:
            return False
        missing = lane.missing(inbox.unread)
        begin = self._fresh - len(inbox.unread)
        if not missing or not self._gathering.hold(inbox.unread, begin if inbox.borrowed else -1, missing):
            return False
        inbox.receive(self._gathering.octets)
        self._expect(missing)
        self._owner.update()
        return True

    def _expect(self, octets: int) -> None:
        """Wait for so many octets together; not for long, for they may never come."""
        self._stream.transport.expect(octets)
        if not self._expecting:
            self._expecting = True
            self._loop.call_later(_EXPECT_S, self._expect_any)

    def _expect_any(self) -> None:
        self._expecting = False
        if not self._stream.closed:
            self._stream.transport.expect(1)

    def give_up_gathering(self) -> None:
        """Make items of what was gathered, so that it is told of; the association ends."""
        if self._gathering.active:
            with contextlib.suppress(PeerError):  # the end is being told already
                self.inbox.decode(self._association)
            self._stop_gathering()

    def _express(self, lane: Lane) -> bool:
        """Have the express lane take what it can, between two messages; False where it can take nothing."""
        inbox = self.inbox
        if inbox.items or inbox.inside_message or self._association.inside_pdu:
            return False
        taken = lane.take(inbox.unread, self._stream.output, _EXPRESS_OBJECTS)
        if not taken:
            return False
        inbox.unread = inbox.unread[taken:]
        self._owner.took(lane)
        if self._gathering.active:
            self._stop_gathering()
        elif self.blocked:
            inbox.keep()
        self._stream.flush()
        self._owner.update()
        return True

    def pump(self) -> None:
        """Handle items in order until one has to wait."""
        if self._pumping:
            return
        self._pumping = True
        items, stream = self.inbox.items, self._stream
        handle, over = self._owner.handle, self.turn.over
        try:
            while items and not self.blocked and not stream.closed:
                handle(items.popleft())
                if items and not self.blocked and over():
                    self._pause()
        finally:
            self._pumping = False
        if stream.closed:
            return
        if self.blocked:
            self.inbox.keep()
        if stream.output:
            stream.flush()
        self._owner.update()

    def block(self) -> None:
        """Handle no further item and read nothing until ``resume``."""
        self.blocked = True

    def put_back(self, item: Any) -> None:
        """Handle ``item`` again after ``resume``, and nothing before it."""
        self.inbox.items.appendleft(item)
        self.blocked = True

    def resume(self) -> None:
        """Go on with what waits behind the item that blocked; harmless while items are being handled."""
        if self._stream.closed:
            return
        self.blocked = False
        if not self._pumping:  # who pumps goes on himself
            self.enter(self._go_on)

    def _go_on(self) -> None:
        self.pump()
        if not self.blocked and not self._stream.closed and (self.inbox.unread or self._stream.transport.pending()):
            self.read()  # decrypted octets do not make the socket readable again

    def _pause(self) -> None:
        self.inbox.keep()
        self.next_turn(self.resume)

    def next_turn(self, step: Callable[[], None]) -> None:
        """Do ``step`` in the next round; the connection is blocked until then, and as long as the step leaves it so."""
        self.blocked = self.working = True
        self._loop.soon(partial(self._take_turn, step))

    def _take_turn(self, step: Callable[[], None]) -> None:
        if self._stream.closed:
            return
        self.working = False
        self.enter(step)
        if self.blocked and not self._stream.closed:
            self.enter(self._owner.update)  # something else may be waited for now
