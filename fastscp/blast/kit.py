"""What all associations of one sending process share."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from fastscp.blast.numbering import INSTANCE, SERIES, STUDY, Order, uid
from fastscp.blast.plan import Plan, Target
from fastscp.blast.requestor import MOST_PDU
from fastscp.blast.supply import Supply
from fastscp.blast.tally import Tally
from fastscp.blast.template import Template
from fastscp.blast.transport import context
from fastscp.blast.wire import Image, View
from fastscp.process.loop import Loop
from fastscp.ul.encode import encode_associate_rq
from fastscp.ul.pdu import AAssociateRQ, AsynchronousOperationsWindow, ProposedContext, UserInformation

_OUR_PDU = 16384  #: responses are short


class Address(NamedTuple):
    """What connect(2) wants."""

    family: int
    where: tuple[object, ...]


class Ammunition:
    """What there is to send: templates, their numbering, and the request that proposes them."""

    def __init__(self, plan: Plan, templates: Sequence[Template], order: Order, run: str) -> None:
        self.order, self.run, self.templates = order, run, templates
        self._limit = plan.pdu or MOST_PDU
        self._lengths = {kind: next((one.octets_of(kind) for one in templates if one.octets_of(kind)), 0) for kind in (SERIES, STUDY)}
        #: presentation context id by SOP class and transfer syntax
        pairs = dict.fromkeys((one.sop_class, one.transfer_syntax) for one in templates)
        self.contexts = {pair: 2 * index + 1 for index, pair in enumerate(pairs)}
        self.request = _request(plan, self.contexts)
        self._context_ids = [self.contexts[one.sop_class, one.transfer_syntax] for one in templates]
        self._octets = [one.octets_of(INSTANCE) for one in templates]
        self._series, self._shared = -1, dict[int, bytes]()
        self._images: dict[tuple[int, int], Image] = {}

    def index(self, number: int) -> int:
        """Return which template an object is a copy of."""
        return number % len(self.templates)

    def uids(self, number: int) -> dict[int, bytes]:
        """Return the UIDs of an object."""
        series = self.order.series_of(number)
        if series != self._series:
            self._series, self._shared = series, self._around(number)
        return {INSTANCE: uid(self.run, INSTANCE, number, self._octets[number % len(self._octets)]), **self._shared}

    def _around(self, number: int) -> dict[int, bytes]:
        """Return the UIDs that an object shares with the others of its series."""
        found = {}
        if self._lengths[SERIES]:
            found[SERIES] = uid(self.run, SERIES, self.order.series_of(number), self._lengths[SERIES])
        if self._lengths[STUDY]:
            found[STUDY] = uid(self.run, STUDY, self.order.study_of(number), self._lengths[STUDY])
        return found

    def context_of(self, number: int) -> int:
        """Return the presentation context that an object goes in."""
        return self._context_ids[number % len(self._context_ids)]

    def message(self, number: int, message_id: int, max_pdu: int) -> tuple[list[View], int]:
        """Return the message of an object for a peer that takes PDUs so long, and the octets of its data set."""
        index = self.index(number)
        image = self._images.get((index, max_pdu))
        if image is None:
            image = Image(self.templates[index], self.context_of(number), min(max_pdu, self._limit))
            self._images[index, max_pdu] = image
        return image.message(self.uids(number), message_id), image.octets


def _request(plan: Plan, contexts: dict[tuple[str, str], int]) -> bytes:
    proposed = tuple(ProposedContext(number, sop_class, (syntax,)) for (sop_class, syntax), number in contexts.items())
    window = AsynchronousOperationsWindow(plan.pipeline, 1) if plan.pipeline > 1 else None
    user = UserInformation(_OUR_PDU, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, window=window)
    target = plan.target
    return encode_associate_rq(AAssociateRQ(_title(target.called_aet), _title(target.calling_aet), proposed, user))


def _title(text: str) -> bytes:
    return text.encode("latin-1", "replace").ljust(16)[:16]


class Numbers:
    """The objects of one association, of which the next one can be looked at."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._next = next(numbers, None)

    @property
    def next(self) -> int | None:
        """The next object's number; None when there is none."""
        return self._next

    def pop(self) -> None:
        """Go on to the one behind."""
        self._next = next(self._numbers, None)

    def rest(self) -> int:
        """Return how many there are left, and leave none."""
        left = 0 if self._next is None else 1 + sum(1 for _ in self._numbers)
        self._next = None
        return left


class Kit:
    """What an association works with."""

    def __init__(self, plan: Plan, loop: Loop, address: Address, ammunition: Ammunition, supply: Supply, tally: Tally) -> None:
        self.plan, self.loop, self.address, self.ammunition, self.supply, self.tally = plan, loop, address, ammunition, supply, tally
        self.open = 0  #: associations that are established
        self._tls = None if plan.target.tls is None else context(plan.target.tls)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self._tls is not None

    def new_socket(self) -> socket.socket:
        """Return a socket that is not connected yet. Raises OSError."""
        sock = socket.socket(self.address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def wrapped(self, sock: socket.socket) -> ssl.SSLSocket:
        """Put TLS upon a socket that is connected."""
        assert self._tls is not None  # noqa: S101 - ``secure`` was asked
        return self._tls.wrap_socket(sock, do_handshake_on_connect=False, server_hostname=self.plan.target.host)


def resolved(target: Target) -> list[Address]:
    """Return the addresses of the target. Raises OSError."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [Address(family, where) for family, _, _, _, where in found]
