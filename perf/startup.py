#!/usr/bin/env python3
"""How long a start takes: ``fastscp --version``, and until the port is open, beside storescp; milliseconds, best and median.

    python3 perf/startup.py
    python3 perf/startup.py --rounds 20 --json startup.json

Wanted: the version within 100 ms, listening within 250 ms, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing

# isort: split
import psutil

from perf.peers import PEERS, ROOT, command
from perf.report import machine
from perf.rows import Row
from perf.running import free_port

_ROW = Row("start", ("mr",))
_NAMES = ("fastscp", "fastscp pure", "storescp")
_DEADLINE_S = 30


def version_ms(name: str) -> float:
    """Return how long ``--version`` takes."""
    program = PEERS[name].program()
    begin = time.perf_counter()
    subprocess.run([*program, "--version"], check=True, capture_output=True, cwd=ROOT, env={**os.environ, **dict(PEERS[name].environment)})
    return (time.perf_counter() - begin) * 1e3


def listening_ms(name: str) -> float:
    """Return how long it takes until the port is open."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        port = free_port()
        begin = time.perf_counter()
        server = subprocess.Popen(command(name, _ROW, port, directory), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
                                  env={**os.environ, **dict(PEERS[name].environment)})
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    return (time.perf_counter() - begin) * 1e3
                if time.perf_counter() - begin > _DEADLINE_S or server.poll() is not None:
                    raise RuntimeError(f"{name} does not start")
                time.sleep(0.001)
        finally:
            left = psutil.Process(server.pid).children(recursive=True)
            server.terminate()
            server.wait(_DEADLINE_S)
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def main() -> int:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    names = [name for name in _NAMES if not isinstance(PEERS[name].program(), str)]
    found: dict[str, dict[str, list[float]]] = {name: {"version": [], "listening": []} for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            found[name]["version"].append(version_ms(name))
            found[name]["listening"].append(listening_ms(name))
    print("| server | --version ms, median | best | listening ms, median | best |\n| --- | ---: | ---: | ---: | ---: |")
    for name, times in found.items():
        cells = [f"{value:.0f}" for which in times.values() for value in (statistics.median(which), min(which))]
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": machine(), "milliseconds": found}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
