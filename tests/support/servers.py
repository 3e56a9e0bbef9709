"""Running servers for tests: fastscp itself and the real storescp beside it.

Each is started on a free port of the loopback interface, waited for, and ended by its own pid.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import psutil

DEADLINE_S = 30.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def title_of(process: psutil.Process) -> str:
    """Return what ps(1) shows of a process; "" where it has ended since it was listed."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll ``condition`` until it holds; fail the test when it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not in {deadline_s} s: {what}")
        time.sleep(0.005)


def listens(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the process listens on a TCP port; one that has ended does not."""
    try:
        connections = psutil.Process(process.pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return False
    return any(connection.status == psutil.CONN_LISTEN for connection in connections)


def _peer_sockets(process: psutil.Process) -> set[int]:
    """Return the descriptors of sockets that neither listen nor lead to a process of this machine (AF_UNIX).

    What is left is asked for by what it is not: a socket that was reset is in none of the kernel's tables.
    """
    sockets = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd") if _is_socket(process.pid, name)}
    known = {connection.fd for connection in process.net_connections("all")
             if connection.family == socket.AF_UNIX or connection.status == psutil.CONN_LISTEN}
    return sockets - known


def _is_socket(pid: int, name: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    except FileNotFoundError:  # closed since it was listed
        return False


def _written(descriptor: int) -> bytes:
    """Return what was written to a file so far, without a seek: the writer has the same file offset."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


class Server:
    """A server program under test: ``with FastscpServer(["-od", ...]) as server: server.port``."""

    def __init__(self, arguments: Sequence[str | Path], *, cwd: Path | None = None,
                 environment: dict[str, str] | None = None) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.port = free_port()
        self._cwd = cwd
        self._environment = {**os.environ, **(environment or {})}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command line without port."""
        raise NotImplementedError

    def start(self) -> Server:
        """Start the program and wait until it serves."""
        for attempt in range(5):
            self.process = subprocess.Popen(
                [*self.command(), *self.arguments, str(self.port)], stdout=self._output, stderr=self._log,
                stdin=subprocess.DEVNULL, cwd=self._cwd, env=self._environment)
            try:
                self.wait_ready()
            except AssertionError:
                if self.process.poll() is None or attempt == 4 or b"listen on port" not in self.log():
                    self.kill()
                    raise
                self.port = free_port()
            else:
                return self
        return self

    def wait_ready(self) -> None:
        """Return when the server answers; the readiness of each program is its own."""
        raise NotImplementedError

    def alive(self) -> bool:
        """Tell whether the program still runs."""
        return self.process is not None and self.process.poll() is None

    def log(self) -> bytes:
        """Return everything the program wrote to stderr so far."""
        return _written(self._log.fileno())

    def output(self) -> bytes:
        """Return everything the program and its hooks wrote to stdout so far."""
        return _written(self._output.fileno())

    def signal(self, number: int) -> None:
        """Send a signal to the program."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, deadline_s: float = DEADLINE_S) -> int:
        """End the program with SIGTERM; return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("server did not end after SIGTERM: " + self.log().decode("latin-1")) from None

    def kill(self) -> None:
        """End the program and its children without a word."""
        assert self.process is not None
        processes = self.family()
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(DEADLINE_S)

    def family(self) -> list[psutil.Process]:
        """Return the program's process and every living descendant."""
        assert self.process is not None
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def descriptors(self) -> dict[int, int]:
        """Return how many descriptors each process of the program has open."""
        return {process.pid: process.num_fds() for process in self.family()}

    def idle_descriptors(self) -> dict[int, int]:
        """Wait until no process holds a connection of a peer; return how many descriptors each has open then.

        What a process opens for its first object (the output directory) counts only after it received one.
        """
        wait_until(lambda: not any(map(_peer_sockets, self.family())), "no open connection")
        return self.descriptors()

    def __enter__(self) -> Server:  # noqa: PYI034 - Self is newer than Python 3.10
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if self.alive():
            if kind is None:
                self.stop()
            else:
                sys.stderr.write(self.log().decode("latin-1")[-8000:])
                self.kill()
        self._log.close()
        self._output.close()


class FastscpServer(Server):
    """``python -m fastscp``; ready when it says so over the sd_notify(3) protocol."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "fastscp"]

    def start(self) -> Server:
        # a short path of our own: tmp_path may be longer than a Unix socket address
        self._notify_directory = tempfile.mkdtemp(prefix="fastscp-")
        address = self._notify_directory + "/notify"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(address)
        self._notify.setblocking(False)
        self._environment["NOTIFY_SOCKET"] = address
        self._environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        return super().start()

    def wait_ready(self) -> None:
        def ready() -> bool:
            if not self.alive():
                raise AssertionError("fastscp ended at its start: " + self.log().decode("latin-1"))
            try:
                return b"READY=1" in self._notify.recv(4096)
            except BlockingIOError:
                return False

        wait_until(ready, "fastscp ready")

    def role(self, title: str) -> list[psutil.Process]:
        """Return the children whose process title begins with ``fastscp: <title>``.

        Those are none that have their parent's title until they become what they are for: a hook that is about to be executed.
        """
        titles: dict[int, str] = {}
        found = []
        for process in self.family():
            titles[process.pid] = title_of(process)
            if titles[process.pid].startswith(f"fastscp: {title}"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append((process, process.ppid()))
        return [process for process, parent in found if titles.get(parent) != titles[process.pid]]

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)  # type: ignore[arg-type]
        self._notify.close()
        shutil.rmtree(self._notify_directory)


class StorescpServer(Server):
    """The real storescp, with its best settings; ready when its port is in the listening state."""

    def command(self) -> list[str]:
        self._environment["TCP_NODELAY"] = "1"
        return ["storescp"]

    def wait_ready(self) -> None:
        def listening() -> bool:
            if not self.alive():
                raise AssertionError("storescp ended at its start: " + self.log().decode("latin-1"))
            assert self.process is not None
            return listens(self.process)

        wait_until(listening, "storescp listens")
