"""One association of the load: it connects, sends what is due, and tells how it ended.

Strategy: one epoll handler. What is to be sent is a list of views, sent at once and only watched for when the socket is full; an
answer makes room for the next object in the same turn. Invariant: each object that was begun is counted once, as acknowledged or
as failed, and ``ended`` is called once.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
import ssl
import time
from collections.abc import Callable

from fastscp.blast.kit import Kit, Numbers
from fastscp.blast.outgoing import Outgoing
from fastscp.blast.requestor import Aborted, Accepted, Reader, Rejected, Released, Response, Said
from fastscp.blast.transport import Plain, Secure, Transport
from fastscp.dimse import status
from fastscp.errors import PeerError
from fastscp.process.loop import IN, OUT
from fastscp.ul.encode import encode_abort, encode_release_rq
from fastscp.ul.pdu import AAbort

_LAST_MESSAGE_ID = 0xFFFF


class State(enum.Enum):
    """What is waited for."""

    CONNECTING = enum.auto()
    HANDSHAKE = enum.auto()
    REQUESTED = enum.auto()
    OPEN = enum.auto()
    RELEASING = enum.auto()
    CLOSED = enum.auto()


class Association:
    """One association. ``begun`` is the time it was wanted; ``idle`` keeps it open although it has nothing to send."""

    def __init__(self, kit: Kit, numbers: Numbers, begun: float, ended: Callable[[str], None], *, idle: bool = False,
                 planned: float | None = None) -> None:
        self.established = False  #: it was, at some time
        self._kit, self._numbers, self._begun, self._ended, self._idle = kit, numbers, begun, ended, idle
        self.planned = planned  #: of the first object, where the association was begun for it and it was not sent yet
        self._reader = Reader()
        self._waiting: dict[int, tuple[int, float, int]] = {}  #: number, begin and octets of what is not answered, by message id
        self._message_id = 0
        self._contexts: frozenset[int] = frozenset()
        self._max_pdu = 0
        self._state = State.CONNECTING
        self._hungry = False  #: the supply will call
        self._transport: Transport
        self._sock: socket.socket
        self._out = Outgoing(kit.plan.line, kit.loop, self._pump)
        self._mask = OUT

    def begin(self) -> None:
        """Connect."""
        loop = self._kit.loop
        try:
            self._sock = self._kit.new_socket()
        except OSError as error:
            self._state = State.CLOSED
            self._ended(f"no socket: {error.strerror}")
            return
        self._transport = Plain(self._sock)
        code = self._sock.connect_ex(self._kit.address.where)
        loop.register(self._sock.fileno(), OUT, self._ready)
        if code not in {0, errno.EINPROGRESS}:
            loop.soon(lambda: self._end(_network(code)))
        self._progress = loop.now
        self._patience = loop.call_later(self._kit.plan.timeout_s, self._look)

    def finish(self) -> None:
        """Release an idle association, or forget it when it is not open."""
        self._idle = False
        if self._state is State.OPEN:
            self._fill()
        elif self._state is not State.CLOSED:
            self._end("")

    # -- the socket --------------------------------------------------------------------------------

    def _ready(self, mask: int) -> None:
        try:
            if self._state is State.CONNECTING:
                self._connected()
            elif self._state is State.HANDSHAKE:
                self._shake()
            else:
                if mask & OUT:
                    self._pump()
                if mask & ~OUT or self._transport.wants_write:
                    self._read()
        except OSError as error:
            self._end(str(error) if isinstance(error, ssl.SSLError) else _network(error.errno or errno.EIO))
        except PeerError as error:
            self._end(f"the peer sent {error}")

    def _connected(self) -> None:
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(_network(code))
        elif self._kit.secure:
            self._sock = wrapped = self._kit.wrapped(self._sock)
            self._transport = Secure(wrapped)
            self._state = State.HANDSHAKE
            self._shake()
        else:
            self._request()

    def _shake(self) -> None:
        if self._transport.handshake():
            self._request()
        else:
            self._watch(OUT if self._transport.wants_write else IN)

    def _request(self) -> None:
        self._state = State.REQUESTED
        self._send([self._kit.ammunition.request])

    def _send(self, views: list[bytes | bytearray | memoryview]) -> None:
        self._out.put(views)
        self._pump()

    def _pump(self) -> None:
        """Send what there is room for."""
        if self._state is State.CLOSED:
            return
        try:
            full = self._out.flush(self._transport)
        except OSError as error:
            # what the peer said before it closed is still to be read; the reset is met there again
            self._out.clear()
            if not self._read_rest():
                self._end(_network(error.errno or errno.EPIPE))
            return
        self._watch(IN | OUT if full or self._transport.wants_write else IN)

    def _watch(self, mask: int) -> None:
        if self._state is not State.CLOSED and mask != self._mask:
            self._mask = mask
            self._kit.loop.modify(self._sock.fileno(), mask)

    def _read(self) -> None:
        while self._state is not State.CLOSED:
            data = self._transport.receive()
            if data is None:
                return
            if not data:
                self._end("" if self._state is State.RELEASING and not self._waiting else "connection closed by the peer")
                return
            self._progress = self._kit.loop.now
            for said in self._reader.receive(data):
                self._take(said)
            if not self._kit.secure:  # one read is nearly always all
                return

    def _read_rest(self) -> bool:
        """Read after a failed write; tell whether the association has ended by that."""
        try:
            while self._state is not State.CLOSED and (data := self._transport.receive()):
                for said in self._reader.receive(data):
                    self._take(said)
        except (OSError, PeerError):
            return self._state is State.CLOSED
        return self._state is State.CLOSED

    # -- the protocol ------------------------------------------------------------------------------

    def _take(self, said: Said) -> None:
        if self._state is State.CLOSED:
            return
        if isinstance(said, Response):
            self._answered(said)
        elif isinstance(said, Accepted):
            self._accepted(said)
        elif isinstance(said, Released):
            self._end("")
        elif isinstance(said, Rejected):
            self._end(f"rejected: {said.reason}")
        elif isinstance(said, Aborted):
            self._end(said.reason)

    def _accepted(self, said: Accepted) -> None:
        if self._state is not State.REQUESTED:
            raise PeerError("an A-ASSOCIATE-AC that nobody waits for")
        self._state, self.established = State.OPEN, True
        self._contexts, self._max_pdu = said.contexts, said.max_pdu
        kit = self._kit
        kit.open += 1
        kit.tally.associations += 1
        kit.tally.setup.record(time.monotonic() - self._begun)
        self._fill()

    def _answered(self, said: Response) -> None:
        waiting = self._waiting.pop(said.message_id, None)
        if waiting is None:
            raise PeerError(f"a response to message {said.message_id}, which nobody waits for")
        number, begun, octets = waiting
        tally = self._kit.tally
        if said.status == status.SUCCESS or said.status >> 12 == 0xB:
            tally.acknowledged(number, octets, time.monotonic() - begun)
            if said.status:
                tally.warnings[f"{said.status:04X}H {status.name(said.status)}"] += 1
        else:
            tally.failed_objects[f"status {said.status:04X}H {status.name(said.status)}"] += 1
        self._fill()

    def _fill(self) -> None:
        """Send as many objects as may be on their way; release when there are no more."""
        kit = self._kit
        while self._state is State.OPEN and not self._hungry and len(self._waiting) < kit.plan.pipeline:
            number = self._numbers.next
            if number is None:
                self._release()
                return
            begun = self.planned if self.planned is not None else kit.supply.take(time.monotonic())
            if begun is None:
                if kit.supply.ended:
                    self._release()
                else:
                    self._hungry = True
                    kit.supply.wait(self._fed)
                return
            self.planned = None
            self._numbers.pop()
            self._store(number, begun)

    def _fed(self) -> None:
        self._hungry = False
        self._fill()

    def _store(self, number: int, begun: float) -> None:
        ammunition = self._kit.ammunition
        if ammunition.context_of(number) not in self._contexts:
            self._kit.tally.failed_objects["presentation context not accepted"] += 1
            return
        self._message_id = self._message_id % _LAST_MESSAGE_ID + 1
        views, octets = ammunition.message(number, self._message_id, self._max_pdu)
        self._waiting[self._message_id] = number, begun, octets
        self._kit.tally.began(number)
        self._send(views)

    def _release(self) -> None:
        if not self._waiting and not self._idle and self._state is State.OPEN:
            self._state = State.RELEASING
            self._kit.open -= 1
            self._send([encode_release_rq()])

    def _look(self) -> None:
        """See whether the peer has been silent for too long while something was wanted of it."""
        kit = self._kit
        if self._state is State.CLOSED:
            return
        silent_s = kit.loop.now - self._progress
        if self._state is State.OPEN and not self._waiting:
            self._progress = kit.loop.now
        elif silent_s >= kit.plan.timeout_s:
            self._end(f"no answer for {kit.plan.timeout_s:g} s", abort=True)
            return
        self._patience = kit.loop.call_later(max(0.05, self._progress + kit.plan.timeout_s - kit.loop.now), self._look)

    def _end(self, reason: str, *, abort: bool = False) -> None:
        """Close, count what was not answered, and tell the owner; ``reason`` is empty for a proper end."""
        if self._state is State.CLOSED:
            return
        if self._state is State.OPEN:
            self._kit.open -= 1
        self._state = State.CLOSED
        self._patience.cancel()
        self._out.clear()
        self._kit.loop.unregister(self._sock.fileno())
        if abort:
            try:
                self._transport.send([encode_abort(AAbort(0, 0))])
            except OSError as error:
                reason += f", and {_network(error.errno or errno.EPIPE)}"
        self._sock.close()
        if self._waiting:
            self._kit.tally.failed_objects[reason or "released by the peer"] += len(self._waiting)
            self._waiting.clear()
        self._ended(reason)


def _network(code: int) -> str:
    return os.strerror(code).lower()
