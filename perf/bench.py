#!/usr/bin/env python3
"""Compare fastscp with the real storescp and pynetdicom's, in interleaved rounds of the same run.

Light sender processes send pre-encoded objects; per server and load it prints objects/s, MB/s, server
CPU per object (whole process tree, reaped children included), peak memory of the tree, and the ratio to its peer:
the same server of ``--before``, else storescp. Output goes to a tmpfs unless ``--directory`` names a disk. The server "floor" is perf/floor.c, which
only copies from sockets to files; it takes part where there is a C compiler.

    python perf/bench.py                  the whole table
    python perf/bench.py --rounds 1 --objects 200 --servers fastscp,storescp
    python perf/bench.py --before ../old --servers fastscp,"fastscp +B"     this checkout beside another one
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from loads import Load, associate_request, instance_uid, loads, store_message

#: name -> (parallel associations, objects per association or 0 for all in one)
SHAPES = {"1 association": (1, 0), "4 associations": (4, 0), "1 object per association": (4, 1)}


#: begins the name of a server that runs from the checkout ``--before`` names
BEFORE = "before: "


@functools.cache
def dcmtk_storescp() -> str:
    """Return the path of DCMTK's storescp; pynetdicom installs a program of that name, too."""
    for directory in os.get_exec_path():
        path = os.path.join(directory, "storescp")
        if os.access(path, os.X_OK) and subprocess.run([path, "--version"], capture_output=True, check=False).stdout.startswith(b"$dcmtk"):
            return path
    raise SystemExit("needs DCMTK's storescp (apt-get install dcmtk)")


@functools.cache
def floor_program() -> str | None:
    """Compile perf/floor.c; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    directory = tempfile.mkdtemp(prefix="floor-")
    atexit.register(shutil.rmtree, directory)
    program = os.path.join(directory, "floor")
    subprocess.run([compiler, "-O2", "-o", program, str(Path(__file__).with_name("floor.c"))], check=True)
    return program


def server_command(name: str, port: int, directory: str) -> list[str]:
    """Return the command line of a server under test."""
    if name == "floor":
        return [floor_program() or "", directory, str(port)]
    name = name.removeprefix(BEFORE)
    commands = {
        "fastscp": [sys.executable, "-m", "fastscp", "-od", directory, str(port)],
        "fastscp +B": [sys.executable, "-m", "fastscp", "+B", "-pdu", "131072", "-od", directory, str(port)],
        "fastscp --quarantine": [sys.executable, "-m", "fastscp", "-od", directory, "--quarantine", os.path.dirname(directory),
                                 str(port)],
        "storescp": [dcmtk_storescp(), "--fork", "-od", directory, str(port)],
        "storescp +B": [dcmtk_storescp(), "--fork", "+B", "-pdu", "131072", "-od", directory, str(port)],
        "pynetdicom": [sys.executable, "-m", "pynetdicom", "storescp", "-q", "-od", directory, str(port)],
    }
    return commands[name]


def receive_pdu(sock: socket.socket) -> bytes:
    """Receive one whole PDU."""
    data = b""
    while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big"):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError("connection closed")
        data += piece
    return data


def send_all(load: Load, port: int, sender: int, count: int, per_association: int, first: int) -> None:
    """Send ``count`` objects; every one must be answered with success."""
    number = first
    end = first + count
    while number < end:
        with socket.create_connection(("127.0.0.1", port), timeout=120) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(associate_request(load.sop_class))
            answer = receive_pdu(sock)
            if answer[0] != 2:
                raise ConnectionError(f"association refused: {answer!r}")
            max_pdu = int.from_bytes(answer[answer.index(b"\x51\x00\x00\x04") + 4 :][:4], "big")
            for _ in range(per_association or count):
                message = store_message(load, instance_uid(sender, number), 1, max_pdu)
                sock.sendall(b"".join(message))
                response = receive_pdu(sock)
                status = response[response.index(b"\x00\x00\x00\x09\x02\x00\x00\x00") + 8 :][:2]
                if status != b"\0\0":
                    raise ConnectionError(f"status {status!r}")
                number += 1
            sock.sendall(b"\x05\0\0\0\0\x04\0\0\0\0")
            receive_pdu(sock)


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return the living processes of a server."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of the tree, of children that ended and were reaped too."""
    total = 0.0
    for member in tree(process):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_octets(process: psutil.Process) -> int:
    """Return the proportional set size of the tree now."""
    total = 0
    for member in tree(process):
        try:
            rollup = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


class MemoryWatch(threading.Thread):
    """Samples the tree's memory while a round runs."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = process, 0, threading.Event()

    def run(self) -> None:
        done = False
        while not done:
            done = self.done.wait(0.2)
            self.peak = max(self.peak, memory_octets(self.process))


def find_memory(directory: str, octets: int) -> None:
    """Write and remove a file, so that the pages the next ones get have been used before; see ``Collector``."""
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(octets >> 20):
            file.write(bytes(1 << 20))


class Collector(threading.Thread):
    """Takes away what was received, a moment after it came, as the next program behind a gateway would.

    So a round works in the same few megabytes of page cache from begin to end. Files left to pile up take pages
    that a virtual machine has never used or has given back, and the host's page faults on those (some 2 µs for
    4 kB) are then most of what is measured, for every server alike.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(daemon=True)
        self.directory, self.collected, self.done = directory, 0, threading.Event()

    def run(self) -> None:
        settled: set[str] = set()  # seen before: complete, so removing them costs the server nothing
        done = False
        while not done:
            done = self.done.wait(0.05)
            names = {name for name in os.listdir(self.directory) if not name.startswith(".")}
            for name in names if done else names & settled:
                os.unlink(os.path.join(self.directory, name))
                self.collected += 1
            settled = names

    def stop(self) -> int:
        """Take the rest; return how many files there were in all."""
        self.done.set()
        self.join()
        return self.collected


class Running:
    """One server under test."""

    def __init__(self, name: str, base: str, before: str | None = None) -> None:
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="bench-", dir=base)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        checkout = before if before and name.startswith(BEFORE) else str(Path(__file__).parent.parent)
        environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": checkout}
        self.popen = subprocess.Popen(server_command(name, self.port, self.directory), env=environment,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=checkout)
        self.process = psutil.Process(self.popen.pid)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end or self.popen.poll() is not None:
                    raise RuntimeError(f"{name} does not start") from None
                time.sleep(0.05)

    def stop(self) -> None:
        self.popen.terminate()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def settled_cpu(process: psutil.Process) -> float:
    """Return the tree's CPU time once it stopped rising (children being reaped)."""
    last = cpu_seconds(process)
    for _ in range(100):
        time.sleep(0.1)
        now = cpu_seconds(process)
        if now <= last:
            return now
        last = now
    return last


def one_round(server: Running, load: Load, shape: str, objects: int) -> dict[str, float]:
    """Send one load in one shape to one server; return its figures."""
    senders, per_association = SHAPES[shape]
    each = objects // senders
    watch, collector = MemoryWatch(server.process), Collector(server.directory)
    before = settled_cpu(server.process)
    watch.start()
    collector.start()
    processes = [multiprocessing.get_context("fork").Process(target=send_all, args=(load, server.port, n, each, per_association, 0))
                 for n in range(senders)]
    start = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds = time.monotonic() - start
    watch.done.set()
    watch.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"{server.name}: a sender failed")
    cpu = settled_cpu(server.process) - before
    stored = collector.stop()
    if stored != each * senders:
        raise RuntimeError(f"{server.name}: {stored} files of {each * senders} objects")
    return {"objects_per_s": stored / seconds, "mb_per_s": stored * len(load.data_set) / seconds / 1e6,
            "cpu_us": cpu / stored * 1e6, "peak_mb": watch.peak / 1e6}


def count_for(load: Load, shape: str, objects: int | None) -> int:
    """Choose enough objects that CPU ticks of 10 ms do not matter."""
    if objects:
        return objects
    if SHAPES[shape][1]:
        return 400
    return 800 if len(load.data_set) > 200_000 else 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, help="objects per round (default: by load)")
    parser.add_argument("--servers", default="fastscp,storescp,pynetdicom,fastscp +B,storescp +B,floor")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--loads", default="", help="only loads whose name contains this")
    parser.add_argument("--directory", default="/dev/shm", help="where files go (default: a tmpfs)")
    parser.add_argument("--before", metavar="CHECKOUT", help="run each fastscp from there as well, in turn with this one")
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    names = [name for name in arguments.servers.split(",") if name != "floor" or floor_program()]
    if arguments.before:
        names += [BEFORE + name for name in names if name.startswith("fastscp")]
        arguments.before = os.path.abspath(arguments.before)
    results: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    servers: list[Running] = []
    try:
        servers += (Running(name, arguments.directory, arguments.before) for name in names)  # those before one that fails are stopped
        for shape in arguments.shapes.split(","):
            for load in loads():
                if arguments.loads not in load.name:
                    continue
                for round_number in range(arguments.rounds + 1):  # the first one warms up
                    for server in servers:
                        objects = count_for(load, shape, arguments.objects)
                        if server.name == "pynetdicom":
                            objects = min(objects, 200)
                        figures = one_round(server, load, shape, objects if round_number else min(objects, 40))
                        if round_number:
                            results.setdefault((shape, load.name, server.name), []).append(figures)
    finally:
        for server in servers:
            server.stop()
    report(results, arguments.json)
    return 0


def report(results: dict[tuple[str, str, str], list[dict[str, float]]], path: str | None) -> None:
    """Print medians and ratios as a table; write everything as JSON."""
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}; medians\n")
    print("| load | shape | server | objects/s | MB/s | server CPU µs/object | CPU / peer | peak MB |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (shape, load, server), rounds in results.items():
        median = {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        base = results.get((shape, load, BEFORE + server)) or results.get(
            (shape, load, "storescp +B" if server.endswith("+B") else "storescp"))
        ratio = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(rounds, base, strict=True)) if base else float("nan")
        print(f"| {load} | {shape} | {server} | {median['objects_per_s']:.0f} | {median['mb_per_s']:.1f} "
              f"| {median['cpu_us']:.0f} | {ratio:.2f} | {median['peak_mb']:.0f} |")
    if path:
        rows = [{"shape": key[0], "load": key[1], "server": key[2], "rounds": rounds} for key, rounds in results.items()]
        Path(path).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
