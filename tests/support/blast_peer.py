"""A peer of fastscp-blast without a network: a socket that a test fills and reads, and what a kit is made of."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from fastscp.blast.kit import Address, Ammunition, Kit
from fastscp.blast.numbering import Order
from fastscp.blast.plan import Plan, Target
from fastscp.blast.supply import Eager, Supply
from fastscp.blast.tally import Tally
from fastscp.blast.template import Template, template
from fastscp.dimse.command import Command, encode_response_command
from fastscp.process.loop import IN, OUT
from fastscp.ul.decode import decode_associate_rq
from fastscp.ul.encode import (
    encode_abort,
    encode_associate_ac,
    encode_associate_rj,
    encode_data,
    encode_release_rp,
)
from fastscp.ul.pdu import AAbort, AAssociateAC, AAssociateRJ, ContextResult, UserInformation
from tests.support import datasets as ds
from tests.support.fakes import FakeLoop

CLASS = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.3." + "4" * 38
RUN = "1" + "7" * 38
OBJECT = b"".join((ds.explicit(0x00080016, "UI", ds.uid(CLASS)), ds.explicit(0x00080018, "UI", ds.uid(UID)),
                   ds.explicit(0x0020000D, "UI", ds.uid(UID)), ds.explicit(0x0020000E, "UI", ds.uid(UID)),
                   ds.explicit(0x7FE00010, "OW", bytes(range(250)))))
TEMPLATE = template(CLASS, ds.EXPLICIT, OBJECT)
RELEASE_RQ = 5
ABORT = 7


def split(octets: bytes) -> list[tuple[int, bytes]]:
    """Return the PDUs: type and body."""
    found = []
    while octets:
        length = int.from_bytes(octets[2:6], "big")
        found.append((octets[0], octets[6:6 + length]))
        octets = octets[6 + length:]
    return found


class PeerSocket:
    """A non-blocking socket whose other end is the test."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.connect_code, self.error = errno.EINPROGRESS, 0
        self.room: int | None = None  #: octets that are still taken; None: any
        self.broken: OSError | None = None  #: what sending meets
        self.sent = bytearray()
        self.inbox: deque[bytes | OSError] = deque()
        self.closed = False

    def fileno(self) -> int:
        return self.number

    def connect_ex(self, _where: object) -> int:
        return self.connect_code

    def getsockopt(self, *_which: int) -> int:
        return self.error

    def sendmsg(self, views: Iterable[Any]) -> int:
        if self.broken is not None:
            raise self.broken
        data = b"".join(views)
        if self.room is not None:
            data = data[:self.room]
            if not data:
                raise BlockingIOError
            self.room -= len(data)
        self.sent += data
        return len(data)

    def send(self, octets: bytes) -> int:
        return self.sendmsg([octets])

    def recv(self, _octets: int) -> bytes:
        if not self.inbox:
            raise BlockingIOError
        item = self.inbox.popleft()
        if isinstance(item, OSError):
            raise item
        return item

    def close(self) -> None:
        self.closed = True


class PeerKit(Kit):
    """A kit whose sockets are ``PeerSocket``."""

    def __init__(self, plan: Plan, loop: FakeLoop, order: Order, supply: Supply, templates: Sequence[Template] = (TEMPLATE,)) -> None:
        super().__init__(plan, loop, Address(2, ("127.0.0.1", 1)), Ammunition(plan, templates, order, RUN), supply,  # type: ignore[arg-type]
                         Tally(numbers=True))
        self.sockets: list[PeerSocket] = []
        self.codes: deque[int] = deque()  #: what connecting comes to

    def new_socket(self) -> Any:
        made = PeerSocket(100 + len(self.sockets))
        made.error = self.codes.popleft() if self.codes else 0
        self.sockets.append(made)
        return made


class Peer:
    """The receiver: a test says what it answers."""

    def __init__(self, *, objects: int = 10, supply: Supply | None = None, order: Order | None = None,
                 templates: Sequence[Template] = (TEMPLATE,), **plan: Any) -> None:
        self.loop = FakeLoop()
        self.plan = Plan(Target("127.0.0.1", 1), **plan)
        self.kit = PeerKit(self.plan, self.loop, order or Order(1, 1, objects, self.plan.associations, self.plan.per_association),
                           supply or Eager(), templates)

    @property
    def sock(self) -> PeerSocket:
        """The last connection."""
        return self.kit.sockets[-1]

    def connect(self) -> None:
        """Let the connection be there."""
        self.loop.fire(self.sock.number, OUT)

    def say(self, octets: bytes) -> None:
        """Send something, or close with nothing."""
        self.sock.inbox.append(octets)
        self.loop.fire(self.sock.number, IN)

    def heard(self) -> list[tuple[int, bytes]]:
        """Return the PDUs that came since the last time."""
        octets = bytes(self.sock.sent)
        self.sock.sent.clear()
        return split(octets)

    def accept(self, *, max_pdu: int = 16384, contexts: int = 128) -> None:
        """Connect, and accept so many contexts of what was requested."""
        self.connect()
        (kind, body), = self.heard()
        assert kind == 1
        request = decode_associate_rq(body)
        results = tuple(ContextResult(context.id, 0 if index < contexts else 3, context.transfer_syntaxes[0])
                        for index, context in enumerate(request.contexts))
        self.say(encode_associate_ac(AAssociateAC(request.called_ae_octets, request.calling_ae_octets, results, UserInformation(max_pdu))))

    def respond(self, message_id: int, status: int = 0) -> None:
        self.say(response(message_id, status))

    def reject(self) -> None:
        self.connect()
        self.heard()
        self.say(encode_associate_rj(AAssociateRJ(1, 1, 7)))

    def abort(self) -> None:
        self.say(encode_abort(AAbort(2, 1)))

    def release(self) -> None:
        self.say(encode_release_rp())


def response(message_id: int, status: int = 0) -> bytes:
    """Return a C-STORE-RSP."""
    request = Command(1, message_id, 1, affected_sop_class_uid=CLASS, affected_sop_instance_uid=UID)
    return encode_data(1, 3, encode_response_command(request, status))
