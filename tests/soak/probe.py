"""A well-behaved peer: it asks each server again and again, and notes how long every answer takes.

It stays on one association for some time, with C-ECHO and small C-STORE in turns; when it loses the association it
comes back at once. What it saw while nothing could be seen (its own process did not run) counts for nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.soak.objects import make
from tests.soak.senders import SILENT_AFTER_S, TITLE, Tell, message
from tests.support.rawscu import Aborted, RawSCU

PAUSE_S = 0.1
OWN_PAUSE_S = 0.25
CONTEXTS = [(1, "1.2.840.10008.5.1.4.1.1.2", ["1.2.840.10008.1.2.1"]), (3, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]


class Probe:
    """Asks one server."""

    def __init__(self, server: str, port: int, seed: int, tell: Tell, stopped: Callable[[], bool]) -> None:
        self._server = server
        self._port = port
        self._chance = random.Random(f"{seed} probe {server}")
        self._tell = tell
        self._stopped = stopped
        self._asked = 0.0  #: when what waits for its answer was asked

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._stopped():
            try:
                self._associate()
            except TimeoutError as error:
                self._tell(("silent", self._server, f"probe: no answer for {SILENT_AFTER_S:.0f} s: {error!r}"))
            except (Aborted, OSError):
                self._sample("lost")
            self._rest(0.02)

    def _associate(self) -> None:
        self._asked = time.monotonic()
        with RawSCU("127.0.0.1", self._port, timeout_s=SILENT_AFTER_S) as scu:
            scu.associate(CONTEXTS, calling=f"{TITLE}-PROBE", called=self._server)
            self._sample("associate")
            for number in range(self._chance.randrange(5, 100)):
                self._asked = time.monotonic()
                if number % 4:
                    scu.echo(3)
                    self._sample("echo")
                else:
                    self._store(scu)
                self._rest(PAUSE_S)
                self._asked = time.monotonic()
                if self._stopped():
                    break
            scu.release()

    def _store(self, scu: RawSCU) -> None:
        parcel = make(self._chance, "2.25.1" + str(self._chance.randrange(10**20)), "small")
        self._tell(("sent", self._server, parcel.sop_instance, parcel.study, "probe", parcel.digest, len(parcel.octets)))
        status: int | None = None
        octets = message(parcel, 1, scu.peer_max_pdu)
        self._asked = time.monotonic()
        try:
            scu.send(octets)
            status = scu.read_status()
            self._sample("store")
        finally:
            self._tell(("outcome", self._server, parcel.sop_instance, status))

    def _sample(self, what: str) -> None:
        self._tell(("answer", self._server, what, self._asked, time.monotonic()))

    def _rest(self, pause_s: float) -> None:
        begin = time.monotonic()
        time.sleep(pause_s)
        end = time.monotonic()
        if end - begin - pause_s > OWN_PAUSE_S:  # the machine was busy with others
            self._tell(("asleep", begin, end))
