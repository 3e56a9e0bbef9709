#!/usr/bin/env python3
"""What the coordinator costs per object: plain, with ``-su P``, with an event log, with ``-xcr true``, beside storescp.

Interleaved rounds of the same run, one association, files on a tmpfs. CPU is user and system time per object of
the whole process tree (hooks included), and of the coordinator alone (without hooks).

    python perf/coordinator.py
    python perf/coordinator.py --rounds 1 --objects 200 --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import send_all, settled_cpu
from loads import Load, loads

MODES = {"plain": [], "-su P": ["-su", "P"], "--event-log": ["--event-log", "/dev/null"], "-xcr true": ["-xcr", "true"],
         "-su P -xcr true": ["-su", "P", "-xcr", "true"]}
PROGRAMS = {"fastscp": [sys.executable, "-m", "fastscp", "-dhl"], "storescp": ["storescp", "--fork", "-dhl"]}


class Server:
    """One program in one mode."""

    def __init__(self, program: str, options: list[str], base: str, mode: str = "") -> None:
        self.program, self.mode = program, mode
        self.directory = tempfile.mkdtemp(prefix="bench-", dir=base)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
        self.popen = subprocess.Popen(
            [*PROGRAMS[program], *options, "-od", self.directory, str(self.port)], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = psutil.Process(self.popen.pid)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > end or self.popen.poll() is not None:
                    raise RuntimeError(f"{program} {' '.join(options)} does not start") from None
                time.sleep(0.05)
            else:
                return

    def coordinator_seconds(self) -> float:
        """Return the CPU time of the coordinator without its hooks; 0 where there is none."""
        for child in self.process.children():
            if "coordinator" in " ".join(child.cmdline()):
                times = child.cpu_times()
                return float(times.user + times.system)
        return 0.0

    def round(self, load: Load, objects: int, first: int) -> dict[str, float]:
        """Send ``objects`` over one association; return microseconds of CPU per object, and objects per second."""
        tree, own = settled_cpu(self.process), self.coordinator_seconds()
        start = time.monotonic()
        send_all(load, self.port, 0, objects, 0, first)
        seconds = time.monotonic() - start
        return {"cpu_us": (settled_cpu(self.process) - tree) / objects * 1e6,
                "coordinator_us": (self.coordinator_seconds() - own) / objects * 1e6,
                "objects_per_s": objects / seconds}

    def stop(self) -> None:
        children = self.process.children(recursive=True)
        self.popen.terminate()
        self.popen.wait(60)
        for child in psutil.wait_procs(children, timeout=5)[1]:  # storescp's outlive it
            child.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--directory", default="/dev/shm", help="where files go (default: a tmpfs)")
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    load = next(load for load in loads() if "38 kB" in load.name)
    comparable = {"storescp": [mode for mode in MODES if not mode.startswith("--")], "fastscp": list(MODES)}
    servers = [Server(program, MODES[mode], arguments.directory, mode) for program, modes in comparable.items() for mode in modes]
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    try:
        for number in range(arguments.rounds + 1):  # the first one warms up
            for server in servers:
                figures = server.round(load, arguments.objects if number else 50, number * arguments.objects)
                if number:
                    results.setdefault((server.mode, server.program), []).append(figures)
    finally:
        for server in servers:
            server.stop()
    report(load, results)
    if arguments.json:
        rows = [{"mode": mode, "server": program, "rounds": rounds} for (mode, program), rounds in results.items()]
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def report(load: Load, results: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    """Print medians, and the ratio to storescp in the same mode."""
    print(f"{load.name}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}; medians\n")
    print("| mode | server | objects/s | CPU µs/object | of it coordinator | CPU / storescp |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for (mode, program), rounds in sorted(results.items(), key=lambda item: list(MODES).index(item[0][0])):
        median = {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        base = results.get((mode, "storescp"))
        ratio = f"{statistics.median(a['cpu_us'] / b['cpu_us'] for a, b in zip(rounds, base, strict=True)):.2f}" if base else ""
        print(f"| {mode} | {program} | {median['objects_per_s']:.0f} | {median['cpu_us']:.0f} "
              f"| {median['coordinator_us']:.0f} | {ratio} |")


if __name__ == "__main__":
    sys.exit(main())
