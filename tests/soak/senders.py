"""Well-behaved senders, each a process: they send objects of all kinds, at a modest rate, whatever happens to the servers.

A sender tells of every object before it sends it, and afterwards what became of it: a status, or None where nobody
answered. Some of what was refused or lost is sent again, as senders do.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.objects import Parcel, fresh, make
from tests.support import datasets as ds
from tests.support.rawscu import Aborted, RawSCU, c_store_rq, p_data, pdv

TITLE = "SOAK"
SILENT_AFTER_S = 60.0
RETRIES = 3
KEPT = 50
Tell = Callable[[tuple[object, ...]], None]


@dataclass
class Sender:
    """Sends until it is told to stop."""

    number: int
    seed: int
    ports: dict[str, int]
    rate: float  #: objects per second
    tell: Tell
    stopped: Callable[[], bool]
    again: dict[str, list[Parcel]] = field(default_factory=dict)  #: what was refused or lost, by server

    def run(self) -> None:
        """Send session after session."""
        chance = random.Random(f"{self.seed} sender {self.number}")
        while not self.stopped():
            begin = time.monotonic()
            server = chance.choice(sorted(self.ports))
            study = fresh(chance)
            studies = [study, study, fresh(chance)]
            parcels = [make(chance, chance.choice(studies)) for _ in range(chance.randrange(1, 16))]
            waiting = self.again.setdefault(server, [])
            parcels += waiting[:2]
            del waiting[:2]
            draw = chance.random()
            if draw < 0.04 and shutil.which("dcmsend"):
                self._dcmsend(server, study, chance)
            elif draw < 0.3:
                self._in_parallel(server, parcels, chance)
            elif draw < 0.4:
                for parcel in parcels:
                    self._session(server, [parcel], chance.getrandbits(32))
            else:
                self._session(server, parcels, chance.getrandbits(32))
            pause = len(parcels) / self.rate - (time.monotonic() - begin)
            end = time.monotonic() + pause
            while time.monotonic() < end and not self.stopped():
                time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    def _in_parallel(self, server: str, parcels: list[Parcel], chance: random.Random) -> None:
        """Send one study over several associations; now and then one object over two of them at once."""
        parts = [parcels[n::3] for n in range(3)]
        if chance.random() < 0.3:
            parts[1] = [*parts[1], parts[0][0]]
        threads = [threading.Thread(target=self._session, args=(server, part, chance.getrandbits(32))) for part in parts if part]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _session(self, server: str, parcels: list[Parcel], seed: int) -> None:
        """Send objects over one association."""
        chance = random.Random(seed)
        waiting = list(parcels)
        try:
            with RawSCU("127.0.0.1", self.ports[server], timeout_s=SILENT_AFTER_S) as scu:
                contexts = sorted({(parcel.sop_class, parcel.transfer_syntax) for parcel in parcels})
                numbers = {context: 2 * n + 1 for n, context in enumerate(contexts)}
                scu.associate([(numbers[context], context[0], [context[1]]) for context in contexts],
                              calling=f"{TITLE}{self.number}", called=server)
                ahead = chance.choice((1, 1, 1, 2, 5))
                cut = chance.random() < 0.05
                while waiting:
                    batch, waiting = waiting[:ahead], waiting[ahead:]
                    if cut and not waiting:
                        return self._cut(scu, server, batch[-1], numbers, chance)
                    self._batch(scu, server, batch, numbers)
                    if self.stopped():
                        break
                if chance.random() < 0.9:
                    scu.release()
                else:
                    scu.abort()
        except TimeoutError as error:
            self.tell(("silent", server, f"no answer for {SILENT_AFTER_S:.0f} s: {error!r}"))
        except (Aborted, OSError):
            pass
        for parcel in waiting[:RETRIES]:
            self._later(server, parcel)
        return None

    def _later(self, server: str, parcel: Parcel) -> None:
        """Keep an object to send it again; not more than the next sessions can take."""
        waiting = self.again.setdefault(server, [])
        if len(waiting) < KEPT:
            waiting.append(parcel)

    def _batch(self, scu: RawSCU, server: str, batch: list[Parcel], numbers: dict[tuple[str, str], int]) -> None:
        """Send objects one behind the other, then read their answers."""
        for parcel in batch:
            self._announce(server, parcel)
        done = 0
        try:
            scu.send(b"".join(message(parcel, numbers[parcel.sop_class, parcel.transfer_syntax], scu.peer_max_pdu)
                              for parcel in batch))
            for parcel in batch:
                status = scu.read_status()
                done += 1
                self.tell(("outcome", server, parcel.sop_instance, status))
                if status != 0:
                    self._later(server, parcel)
        finally:
            for parcel in batch[done:]:
                self.tell(("outcome", server, parcel.sop_instance, None))
                self._later(server, parcel)

    def _cut(self, scu: RawSCU, server: str, parcel: Parcel, numbers: dict[tuple[str, str], int], chance: random.Random) -> None:
        self._announce(server, parcel)
        octets = message(parcel, numbers[parcel.sop_class, parcel.transfer_syntax], scu.peer_max_pdu)
        try:
            scu.send(octets[:chance.randrange(len(octets) - 1)])
        finally:
            self.tell(("outcome", server, parcel.sop_instance, None))

    def _announce(self, server: str, parcel: Parcel) -> None:
        self.tell(("sent", server, parcel.sop_instance, parcel.study, parcel.kind, parcel.digest, len(parcel.octets)))

    def _dcmsend(self, server: str, study: str, chance: random.Random) -> None:
        """Have DCMTK's sender send some files; what it says of them all is what is known of each."""
        parcels = [make(chance, study, "MR") for _ in range(4)]
        with tempfile.TemporaryDirectory() as directory:
            for parcel in parcels:
                Path(directory, parcel.sop_instance).write_bytes(part_10(parcel))
                self._announce(server, parcel)
            run = subprocess.run(
                ["dcmsend", "-v", "-aet", f"{TITLE}{self.number}", "-aec", server, "127.0.0.1", str(self.ports[server]), "+sd", directory],
                capture_output=True, check=False, timeout=SILENT_AFTER_S * 3, env={**os.environ, "TCP_NODELAY": "1"})
        said = run.stdout + run.stderr
        whole = run.returncode == 0 and said.count(b"Received C-STORE Response (Success)") == len(parcels)
        for parcel in parcels:
            self.tell(("outcome", server, parcel.sop_instance, 0 if whole else None))
        self.tell(("dcmsend", server, whole))


def message(parcel: Parcel, context: int, max_pdu: int) -> bytes:
    """Encode a C-STORE request and its data set."""
    parts = [p_data(pdv(context, 3, c_store_rq(parcel.sop_class, parcel.sop_instance)))]
    step = max_pdu - 6
    for at in range(0, len(parcel.octets), step):
        last = 2 if at + step >= len(parcel.octets) else 0
        parts.append(p_data(pdv(context, last, parcel.octets[at:at + step])))
    return b"".join(parts)


def part_10(parcel: Parcel) -> bytes:
    """Make a DICOM file of an object."""
    meta = b"".join((ds.explicit(0x00020001, "OB", b"\0\1"), ds.explicit(0x00020002, "UI", ds.uid(parcel.sop_class)),
                     ds.explicit(0x00020003, "UI", ds.uid(parcel.sop_instance)),
                     ds.explicit(0x00020010, "UI", ds.uid(parcel.transfer_syntax)),
                     ds.explicit(0x00020012, "UI", ds.uid("1.2.3.4"))))
    return bytes(128) + b"DICM" + ds.explicit(0x00020000, "UL", len(meta).to_bytes(4, "little")) + meta + parcel.octets
