"""Hostile peers, in a process of their own: everything of ``tests.support.harm``, and some that take their time."""

from __future__ import annotations

import contextlib
import random
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.objects import fresh
from tests.soak.senders import Tell
from tests.support import datasets as ds
from tests.support.harm import ACCEPTED_REQUESTS, FIRST_OCTETS, REFUSED, TITLES, VIOLATIONS
from tests.support.harm_data import DATA_SETS
from tests.support.hostile import (
    APPLICATION_CONTEXT,
    CT_ITEM,
    ECHO,
    RELEASE_RQ,
    USER_INFORMATION,
    request,
    reset,
    store_message,
)
from tests.support.objects import CT, EXPLICIT_LE, IMPLICIT_LE, data_set
from tests.support.rawscu import DEFLATED, Aborted, RawSCU, associate_rq, c_store_rq, p_data, pdv

CONTEXTS = [(1, CT, [EXPLICIT_LE]), (3, CT, [IMPLICIT_LE]), (5, "1.2.840.10008.1.1", [IMPLICIT_LE]), (7, CT, [DEFLATED])]
HELD = 40  #: connections that are held open at most


@dataclass
class Hostile:
    """Attacks servers until it is told to stop."""

    seed: int
    ports: dict[str, int]
    pause_s: float
    tell: Tell
    stopped: Callable[[], bool]
    held: list[socket.socket] = field(default_factory=list)

    def run(self) -> None:
        """Attack after attack."""
        chance = random.Random(f"{self.seed} hostile")
        attacks: list[Callable[[int, random.Random], None]] = [
            self._first_octets, self._negotiation, self._violation, self._refused, self._data_set, self._titles, self._checks,
            self._held, self._never_reads, self._repeats, self._disordered, self._bomb, self._drip, self._many_small_pdus]
        while not self.stopped():
            attack = chance.choice(attacks)
            with contextlib.suppress(Aborted, OSError):
                attack(self.ports[chance.choice(sorted(self.ports))], chance)
            self.tell(("hostile", attack.__name__.removeprefix("_")))
            while len(self.held) > HELD:
                self.held.pop(chance.randrange(len(self.held))).close()
            time.sleep(chance.expovariate(1 / self.pause_s))

    def _connect(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=20)

    def _association(self, port: int) -> RawSCU:
        scu = RawSCU("127.0.0.1", port)
        scu.associate(CONTEXTS, calling="HOSTILE")
        return scu

    def _leave(self, sock: socket.socket, chance: random.Random) -> None:
        """Leave in one of the ways there are, or stay."""
        draw = chance.random()
        if draw < 0.3:
            self.held.append(sock)
        elif draw < 0.6:
            reset(sock)
        else:
            with contextlib.suppress(OSError):
                sock.settimeout(1)
                while sock.recv(65536):
                    pass
            sock.close()

    def _first_octets(self, port: int, chance: random.Random) -> None:
        sock = self._connect(port)
        sock.sendall(chance.choice(list(FIRST_OCTETS.values())))
        self._leave(sock, chance)

    def _negotiation(self, port: int, chance: random.Random) -> None:
        sock = self._connect(port)
        sock.sendall(request(chance.choice(list(ACCEPTED_REQUESTS.values()))) + RELEASE_RQ)
        self._leave(sock, chance)

    def _titles(self, port: int, chance: random.Random) -> None:
        sock = self._connect(port)
        title = chance.choice(TITLES)
        items = APPLICATION_CONTEXT + CT_ITEM + USER_INFORMATION
        sock.sendall(request(items, calling=title, called=title) + store_message(fresh(chance)) + RELEASE_RQ)
        self._leave(sock, chance)

    def _violation(self, port: int, chance: random.Random) -> None:
        scu = self._association(port)
        scu.send(ECHO + store_message(fresh(chance)) + chance.choice(list(VIOLATIONS.values())) + store_message(fresh(chance)))
        self._leave(scu.sock, chance)

    def _refused(self, port: int, chance: random.Random) -> None:
        scu = self._association(port)
        scu.send(p_data(pdv(1, 3, chance.choice(list(REFUSED.values())))) + p_data(pdv(1, 2, data_set("1.2.3"))))
        self._leave(scu.sock, chance)

    def _data_set(self, port: int, chance: random.Random) -> None:
        scu = self._association(port)
        for _ in range(chance.randrange(1, 4)):
            uid = fresh(chance)
            case = chance.choice(list(DATA_SETS.values()))
            scu.send(store_message(uid, case.octets(uid), context_id=case.context))
        self._leave(scu.sock, chance)

    def _checks(self, port: int, chance: random.Random) -> None:
        """Connect and leave, as load balancers do."""
        for number in range(50):
            sock = self._connect(port)
            if number % 3 == 1:
                sock.sendall(associate_rq([(1, CT, [EXPLICIT_LE])], "HOSTILE"))
            if number % 3:
                reset(sock)
            sock.close()

    def _held(self, port: int, chance: random.Random) -> None:
        for _ in range(10):
            self.held.append(self._association(port).sock)

    def _never_reads(self, port: int, chance: random.Random) -> None:
        scu = self._association(port)
        scu.sock.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(300):
                scu.send(ECHO * 20 + store_message(fresh(chance)))
        self._leave(scu.sock, chance)

    def _repeats(self, port: int, chance: random.Random) -> None:
        scu = self._association(port)
        scu.sock.settimeout(1)
        scu.send((p_data(pdv(1, 3, REFUSED["D05 C-FIND"])) + p_data(pdv(1, 2, b"\x08\0\x16\0\0\0\0\0"))) * 500)
        self._leave(scu.sock, chance)

    def _disordered(self, port: int, chance: random.Random) -> None:
        uid = fresh(chance)
        items = ds.item(ds.explicit(0x00080102, "SH", b"") + ds.explicit(0x00080100, "SH", b"")) * chance.randrange(1000, 200_000)
        scu = self._association(port)
        scu.send(store_message(uid, data_set(uid) + ds.sequence(0x7FE10010, items)))
        self._leave(scu.sock, chance)

    def _bomb(self, port: int, chance: random.Random) -> None:
        uid = fresh(chance)
        deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
        size = chance.choice((1 << 20, 30 << 20))
        octets = deflater.compress(data_set(uid, pixels=0)[:-4] + size.to_bytes(4, "little"))
        octets += b"".join(deflater.compress(bytes(1 << 16)) for _ in range(size >> 16)) + deflater.flush()
        scu = self._association(port)
        scu.send(store_message(uid, octets + b"\0" * (len(octets) & 1), context_id=7))
        self._leave(scu.sock, chance)

    def _drip(self, port: int, chance: random.Random) -> None:
        """Send some octets, one at a time, and hold the rest back."""
        scu = self._association(port)
        message = store_message(fresh(chance))
        for at in range(chance.randrange(100)):
            scu.send(message[at:at + 1])
        self.held.append(scu.sock)

    def _many_small_pdus(self, port: int, chance: random.Random) -> None:
        uid = fresh(chance)
        octets = data_set(uid)
        scu = self._association(port)
        parts = [p_data(pdv(1, 3, c_store_rq(CT, uid)))]
        parts += [p_data(pdv(1, 2 if at == len(octets) - 1 else 0, octets[at:at + 1])) for at in range(len(octets))]
        scu.send(b"".join(parts))
        self._leave(scu.sock, chance)
