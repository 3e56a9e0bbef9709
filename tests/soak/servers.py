"""One server of a soak: started, watched and started again as a service manager does.

Everything that a server starts is in its session and in its directory, so that its processes are known also when their parent
is dead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.servers import free_port

ROLES = ("acceptor", "coordinator", "worker", "resolver")
START_WITHIN_S = 20.0
STOP_WITHIN_S = 150.0


def _title(process: psutil.Process) -> str:
    try:
        return str((process.cmdline() or [""])[0])
    except psutil.NoSuchProcess:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return 0


class Successor:
    """A program that has taken over: no child of ours, so how it ends is not known. As much of ``Popen`` as is used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Return 0 when it has ended."""
        try:
            if not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE:
                self.returncode = 0
        except psutil.NoSuchProcess:
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float = STOP_WITHIN_S) -> int:
        """Return 0 once it has ended. Raises ``subprocess.TimeoutExpired``."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return 0

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        send(self._process, number)


@dataclass
class Managed:
    """A server under fire. ``broken`` is told of every promise that the service itself breaks."""

    name: str
    options: list[str]
    directory: Path  #: of this server alone: its logs and what its hooks write
    output: Path  #: where objects go
    broken: Callable[[str, str], None]
    port: int = field(default_factory=free_port)
    starts: int = 0
    wanted: bool = False  #: it should run
    ending: bool = False  #: somebody has ended it on purpose
    spoiled: bool = False  #: something is taken from its disk: it may not be able to start
    process: subprocess.Popen[bytes] | Successor | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _sessions: list[int] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What the service says."""
        return self.directory / "log"

    def start(self) -> None:
        """Start the service; return when it says that it is ready."""
        self._start()
        self.wanted = True

    def _start(self) -> None:
        with self._told() as notify, self.log.open("ab") as log:
            root = str(Path(__file__).parents[2])
            environment = {**os.environ, "NOTIFY_SOCKET": str(self.directory / "notify"), "PYTHONPATH": root, "SOAK": str(self.directory)}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastscp", *self.options, "-od", str(self.output), str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.directory, start_new_session=True)
            self._sessions.append(self.process.pid)
            self.starts += 1
            if self._ready(notify) is None and self.process.poll() is None:
                self.broken("starts", f"{self.name} is not ready after {START_WITHIN_S:.0f} s")

    @contextlib.contextmanager
    def _told(self) -> Iterator[socket.socket]:
        """Have the socket on which the service says that it is ready."""
        address = self.directory / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(address))
            os.chmod(address, 0o666)
            notify.settimeout(0.2)
            yield notify

    def _ready(self, notify: socket.socket, other_than: int = 0) -> int | None:
        """Return the main process that says that it is ready, None where none does in time, or the one that was started has ended."""
        end = time.monotonic() + START_WITHIN_S
        while time.monotonic() < end and self.process is not None and self.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                lines = dict(line.partition("=")[::2] for line in notify.recv(4096).decode().splitlines())
                if "READY" in lines and int(lines["MAINPID"]) != other_than:
                    return int(lines["MAINPID"])
        return None

    def upgrade(self) -> bool:
        """Have the service start its program, which takes over; tell whether that could be done."""
        with self._lock:
            process = self.process
            if process is None or process.poll() is not None or self.ending or self._drains(process.pid):
                return False
            with self._told() as notify:
                process.send_signal(signal.SIGUSR2)
                pid = self._ready(notify, process.pid)
            if pid is None:
                self.broken("takes over", f"{self.name}: no other program is ready {START_WITHIN_S:.0f} s after SIGUSR2")
                return False
            self.process = Successor(pid)
            return True

    def watch(self) -> None:
        """Start the service again when it has ended. Called over and over, from one thread."""
        with self._lock:
            if not self.wanted or self.process is None or self.process.poll() is None:
                return
            if not self.ending and not self.spoiled:
                self.broken("stays up", f"{self.name} ended by itself with status {self.process.returncode}")
            self.ending = False
            self._start()

    def _drains(self, main: int) -> bool:
        """Whether a predecessor has not ended yet; no other program can take over until it has."""
        return any(process.pid != main and _title(process).startswith("fastscp: acceptor") for process in self.family())

    def pids(self) -> list[int]:
        """Return every process of the service, also those of former starts.

        Numbers of sessions are used again, by whoever starts next: what works in the directory of the service is its own.
        """
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.getsid(int(name)) in self._sessions and os.readlink(f"/proc/{name}/cwd") == str(self.directory):
                    found.append(int(name))
            except OSError:  # it has ended
                continue
        return found

    def family(self) -> list[psutil.Process]:
        """Return every living process of the service."""
        found = []
        for pid in self.pids():
            try:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def role(self, role: str) -> list[psutil.Process]:
        """Return the living processes of one kind.

        A child that has not yet become what it is for has the name of its parent: a hook, say, that is about to be executed.
        """
        found = {process.pid: process for process in self.family() if _title(process).startswith(f"fastscp: {role}")}
        return [process for process in found.values() if _parent(process) not in found]

    def kill_acceptor(self) -> None:
        """End the acceptor process alone, as the kernel would."""
        with self._lock:
            self.ending = True
            for process in self.role("acceptor"):
                send(process, signal.SIGKILL)
            if self.process is not None:
                self.process.send_signal(signal.SIGKILL)  # a successor is a child of the one that drains
                self.process.wait()

    def kill_everything(self) -> None:
        """End every process of the service, its hooks as well, as a service manager does with what is left."""
        with self._lock:
            self.ending = True
            while found := self.family():
                for process in found:
                    send(process, signal.SIGKILL)
                if self.process is not None:
                    self.process.poll()
                time.sleep(0.01)

    def stop(self) -> None:
        """End the service with SIGTERM; its exit status has to be 0."""
        with self._lock:
            self.ending = True
            process = self.process
            if process is None or process.poll() is not None:
                return
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.broken("stops", f"{self.name} does not end within {STOP_WITHIN_S:.0f} s of SIGTERM")
            self.kill_everything()
            return
        if status not in {0, -signal.SIGKILL}:  # harm goes on while it drains
            self.broken("stops", f"{self.name} ends with status {status} after SIGTERM")

    def signal(self, number: int) -> None:
        """Send a signal to the acceptor process."""
        with self._lock:
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)


def send(process: psutil.Process, number: int) -> bool:
    """Send a signal to a process that may be gone."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True
