"""What a server costs: CPU time and memory of its whole process tree, its system calls, latencies of its answers."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")
_SETTLED_S = 0.002  #: of CPU in a tenth of a second: nobody works any more


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return the living processes below a keeper."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _own_seconds(pid: int) -> float:
    """Return the CPU time of a process itself: to the nanosecond where the kernel tells that."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) / _TICKS  # threads that ended included
    with contextlib.suppress(OSError):
        return max(ticks, sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9)
    return ticks


def _reaped_seconds(pid: int) -> float:
    """Return the CPU time of the children a process has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS


def cpu_seconds(keeper: psutil.Process, title: str = "") -> float:
    """Return the CPU time of the tree below a keeper, of what ended and was reaped too.

    With ``title`` only the own time of processes that have it in their command line.
    """
    total = 0.0 if title else _reaped_seconds(keeper.pid)
    for member in tree(keeper):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if not title:
                total += _own_seconds(member.pid) + _reaped_seconds(member.pid)
            elif title in " ".join(member.cmdline()):
                total += _own_seconds(member.pid)
    return total


def whole_cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and of everything below it."""
    return _own_seconds(process.pid) + cpu_seconds(process)


def settled_cpu(keeper: psutil.Process) -> float:
    """Return the tree's CPU time once it stopped rising (children being reaped)."""
    last = cpu_seconds(keeper)
    for _ in range(100):
        time.sleep(0.1)
        now = cpu_seconds(keeper)
        if now - last <= _SETTLED_S:
            return now
        last = now
    return last


def memory_octets(keeper: psutil.Process) -> int:
    """Return the proportional set size of the tree now."""
    total = 0
    for member in tree(keeper):
        try:
            rollup = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


class MemoryWatch(threading.Thread):
    """Samples the tree's memory while a round runs."""

    def __init__(self, keeper: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._keeper, self.peak, self._done = keeper, 0, threading.Event()

    def run(self) -> None:
        done = False
        while not done:
            done = self._done.wait(0.2)
            self.peak = max(self.peak, memory_octets(self._keeper))

    def stop(self) -> int:
        """Look once more; return the most that was seen."""
        self._done.set()
        self.join()
        return self.peak


class Calls:
    """The system calls of a tree while a block runs: ``total``, and ``names`` where strace(1) is there."""

    def __init__(self) -> None:
        self.total = 0
        self.names: dict[str, int] = {}


def why_no_calls() -> str:
    """Return why system calls cannot be counted here; "" when they can."""
    return "" if shutil.which("strace") or shutil.which("perf") else "neither strace nor perf is installed"


@contextlib.contextmanager
def counted_calls(keeper: psutil.Process) -> Iterator[Calls]:
    """Count the system calls of the tree, of what it starts meanwhile too. Raises RuntimeError where that is not allowed."""
    calls = Calls()
    pids = [member.pid for member in tree(keeper)]
    with tempfile.NamedTemporaryFile("r") as file:
        if shutil.which("strace"):
            line = ["strace", "-f", "-c", "-o", file.name, *(word for pid in pids for word in ("-p", str(pid)))]
        else:
            line = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", file.name, "-p", ",".join(map(str, pids))]
        tracer = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _wait_for_tracer(tracer, pids, traced=line[0] == "strace")
            yield calls
        finally:
            tracer.send_signal(signal.SIGINT)
            _, said = tracer.communicate(timeout=60)
        text = file.read()
        if line[0] == "strace":
            calls.names = read_strace(text)
            calls.total = sum(calls.names.values())
        else:
            calls.total = read_perf(text)
        if not calls.total:
            raise RuntimeError(f"{line[0]} counted nothing: {said.decode(errors='replace').strip()[-200:]}")


def _wait_for_tracer(tracer: subprocess.Popen[bytes], pids: Sequence[int], *, traced: bool) -> None:
    """Wait until every process is traced; perf has no such sign, and gets half a second."""
    end = time.monotonic() + (10 if traced else 0.5)
    while time.monotonic() < end:
        if tracer.poll() is not None:
            return
        if traced and all(f"TracerPid:\t{tracer.pid}" in Path(f"/proc/{pid}/status").read_text() for pid in pids):
            return
        time.sleep(0.02)


def read_strace(text: str) -> dict[str, int]:
    """Read the table of ``strace -c``: name -> calls."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)", line)
        if match and match[2] != "total":
            found[match[2]] = int(match[1])
    return found


def read_perf(text: str) -> int:
    """Read the one line of ``perf stat -x,``: the count."""
    match = re.search(r"^(\d+),", text, flags=re.MULTILINE)
    return int(match[1]) if match else 0
