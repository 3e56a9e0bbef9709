#!/usr/bin/env python3
"""What --quarantine costs an object that is clean: receptions with and without it, in turn, in one process.

    python3 perf/quarantine.py                    three loads; best of many, in microseconds of CPU an object
    python3 perf/quarantine.py --objects 500 --rounds 5
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Shapes
from fastscp.dimse.command import C_STORE_RQ, Command
from fastscp.store.policy import StorePolicy
from fastscp.store.quarantine import Quarantine
from fastscp.store.sink import OutputDirectory
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.quarantine import new_reception
from perf.loads import EXPLICIT_LE, UID_OCTETS, Load
from perf.loads import load as encoded

_NEVER = lambda: False  # noqa: E731 - no turn ends here
_FRAGMENT_OCTETS = 131066
_READ_FRAGMENTS = 8  #: in one read of the receive buffer


def receive(context: ReceptionContext, load: Load, parts: list[memoryview], objects: int) -> float:
    """Receive so many objects; return the microseconds of CPU of each."""
    presentation = AcceptedContext(1, load.sop_class, EXPLICIT_LE)
    uid = load.data_set[load.uid_offset:load.uid_offset + UID_OCTETS].decode("ascii").rstrip("\0")
    command = Command(C_STORE_RQ, 1, 0, load.sop_class, uid)
    start = time.process_time()
    for _ in range(objects):
        reception = new_reception(context, presentation, command, "BENCH")
        for at in range(0, len(parts), _READ_FRAGMENTS):
            reception.feed(parts[at:at + _READ_FRAGMENTS], _NEVER)
        for _ in reception.finishing():
            pass
        for _ in reception.publishing(None, datetime.datetime(2026, 1, 1)):  # noqa: DTZ001 - any time will do
            pass
        if reception.failure is not None:
            raise SystemExit(f"{load.name}: {reception.failure}")
    return (time.process_time() - start) * 1e6 / objects


def main() -> None:
    """Print a line for each load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(f"{'load':12}{'without':>10}{'with':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        for load in map(encoded, ("sr", "mr", "ct")):
            view = memoryview(load.data_set)
            parts = [view[at:at + _FRAGMENT_OCTETS] for at in range(0, len(view), _FRAGMENT_OCTETS)]
            best = [float("inf"), float("inf")]
            contexts = [ReceptionContext(OutputOptions(), StorePolicy(directory), OutputDirectory(directory), Shapes(),
                                         quarantine=quarantine) for quarantine in (None, Quarantine(directory))]
            for _ in range(arguments.rounds):
                for index, context in enumerate(contexts):
                    best[index] = min(best[index], receive(context, load, parts, arguments.objects))
            print(f"{load.name:12}{best[0]:10.1f}{best[1]:10.1f}{best[1] / best[0]:8.3f}")


if __name__ == "__main__":
    main()
