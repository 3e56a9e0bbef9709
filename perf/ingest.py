#!/usr/bin/env python3
"""Compare fastscp-ingest with ``cp -r`` and with sending the same objects over the loopback interface.

Each round does all three with the same files, whose octets are in the page cache; what is printed is objects/s and the
ratios of the medians. Files are in directories of 500. Everything is on a tmpfs unless ``--directory`` names a disk.

    python3 perf/ingest.py                                  every load
    python3 perf/ingest.py --rounds 1 --objects 500 --loads ct
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from fastscp.dicom import filemeta
from perf.loads import UID_OCTETS, Load, instance_uid
from perf.loads import load as encoded
from perf.running import free_port
from perf.sending import Target, send, templates_of

PER_DIRECTORY = 500


def make_files(load: Load, count: int, directory: Path) -> None:
    """Write the files, as another program would have written them."""
    data = bytearray(load.data_set)
    for number in range(count):
        uid = instance_uid(1, number)
        data[load.uid_offset : load.uid_offset + UID_OCTETS] = uid.encode()
        path = directory / f"{number // PER_DIRECTORY:03d}" / f"IM{number:06d}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(filemeta.encode(load.sop_class.encode(), uid.encode(), "1.2.840.10008.1.2.1", b"SOMEBODY") + data)


def timed(command: list[str]) -> float:
    """Return how long a command takes, its start included."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def over_the_network(load: Load, count: int, options: list[str], out: Path) -> float:
    """Start a service, send, stop it."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "fastscp", *options, "-od", str(out), str(port)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        return send(Target(port), templates_of([load]), senders=1, each=count).seconds
    finally:
        server.terminate()
        server.wait()


def measure(load: Load, count: int, rounds: int, where: str) -> dict[str, float]:
    """Return objects/s of everything that is compared."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=where) as top:
        source = Path(top) / "in"
        source.mkdir()
        make_files(load, count, source)
        ingest = [sys.executable, "-m", "fastscp.cli.ingest", "-q"]
        kinds = {
            "cp -r": lambda out: timed(["cp", "-r", str(source), str(out / "copy")]),
            "ingest": lambda out: timed([*ingest, "-od", str(out), str(source)]),
            "ingest +B": lambda out: timed([*ingest, "+B", "-od", str(out), str(source)]),
            "ingest -su": lambda out: timed([*ingest, "-su", "S", "-od", str(out), str(source)]),
            "network": lambda out: over_the_network(load, count, [], out),
            "network -su": lambda out: over_the_network(load, count, ["-su", "S"], out),
        }
        for _ in range(rounds):
            for name, run in kinds.items():
                out = Path(top) / "out"
                out.mkdir()
                times.setdefault(name, []).append(run(out))
                shutil.rmtree(out)
    return {name: count / statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, help="of each load (default: 20000, of large ones 4000)")
    parser.add_argument("--loads", default="sr,mr,ct", help="names of perf/loads.py")
    parser.add_argument("--directory", default="/dev/shm")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    print("| load | what | objects/s | / cp -r | / network |\n| --- | --- | ---: | ---: | ---: |")
    figures = {}
    for load in map(encoded, arguments.loads.lower().split(",")):
        count = arguments.objects or (4000 if len(load.data_set) > 100_000 else 20_000)
        figures[load.name] = found = measure(load, count, arguments.rounds, arguments.directory)
        for name, rate in found.items():
            network = found["network -su" if "-su" in name else "network"]
            print(f"| {load.name} | {name} | {rate:.0f} | {rate / found['cp -r']:.2f} | {rate / network:.2f} |", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"cpus": os.cpu_count(), "objects_per_s": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
