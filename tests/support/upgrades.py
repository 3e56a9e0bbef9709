"""A running service whose program is replaced while it runs, by one that may have a fault."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.support.hostile import store_one
from tests.support.rawscu import Aborted
from tests.support.servers import DEADLINE_S, FastscpServer, title_of, wait_until

#: runs before the program: the interpreter imports it by its name
_FIRST = "sitecustomize.py"
_PAUSE = """
import os, time
while not os.path.exists({go!r}):
    time.sleep(0.005)
"""
#: has the new program do something else when it would tell that it is prepared, or what its coordinator is reached by
_AT_STEP = """
import os, sys, time
if "FASTSCP_SUCCEEDS" in os.environ:
    from fastscp.acceptor import predecessor
    tell = predecessor.Predecessor.tell
    def fault(self, packet, descriptor=None):
        if packet["kind"] == {step!r}:
            {fault}
        tell(self, packet, descriptor)
    predecessor.Predecessor.tell = fault
"""


class UpgradableServer(FastscpServer):
    """Knows every acceptor process there is of it, in the order of their starts."""

    def __init__(self, arguments: Sequence[str | Path], *, cwd: Path | None = None,
                 environment: dict[str, str] | None = None) -> None:
        self._programs = Path(tempfile.mkdtemp(prefix="fastscp-program-"))
        self._programs.chmod(0o755)
        super().__init__(arguments, cwd=cwd or self._programs, environment=environment)
        self.interpreter = sys.executable
        self.packages: list[str] = []  #: where it finds more of them
        self.told: list[tuple[int, list[str]]] = []  #: what the service manager was told, and by which process

    def command(self) -> list[str]:
        self._environment["PYTHONPATH"] = os.pathsep.join([str(self._programs), str(Path(__file__).parents[2]), *self.packages])
        address = Path(self._environment["NOTIFY_SOCKET"])
        address.parent.chmod(0o755)  # the service may become another user
        address.chmod(0o777)
        self._notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return [self.interpreter, *super().command()[1:]]

    def wait_ready(self) -> None:
        wait_until(lambda: self.heard("READY=1") or not self.alive(), "fastscp ready")
        assert self.alive(), self.log().decode("latin-1")

    # -- the new program --------------------------------------------------------------------------

    def pause_new_program(self) -> Path:
        """Let the next program begin only when the file that is returned exists."""
        go = self._programs / "go"
        self._replace(_PAUSE.format(go=str(go)))
        return go

    def spoil_new_program(self, step: str, fault: str) -> None:
        """Have the next program execute ``fault`` when it would say ``step``."""
        self._replace(_AT_STEP.format(step=step, fault=fault))

    def break_new_program(self) -> None:
        """Have the next program fail to import."""
        package = self._programs / "fastscp"
        package.mkdir()
        (package / "__init__.py").write_text("import of_something_that_is_not_there\n")

    def mend_new_program(self) -> None:
        """Have the next program be the one that it is."""
        (self._programs / _FIRST).unlink(missing_ok=True)

    def _replace(self, text: str) -> None:
        (self._programs / _FIRST).write_text(text)

    # -- processes --------------------------------------------------------------------------------

    def acceptors(self) -> list[psutil.Process]:
        """Return the acceptor processes that live, the oldest first."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cmdline()[:1] == [f"fastscp: acceptor [{self.port}]"] and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return sorted(found, key=lambda process: process.create_time())

    def upgrade(self) -> None:
        """Ask the acceptor process that serves to start the installed program."""
        self.acceptors()[-1].send_signal(signal.SIGUSR2)

    def upgraded(self) -> psutil.Process:
        """Ask for it, and return the new acceptor process once it has taken over."""
        former = self.acceptors()
        self.upgrade()
        wait_until(lambda: self.heard("READY=1", besides=former), "the new program serves")
        return self.acceptors()[-1]

    def heard(self, assignment: str, besides: Sequence[psutil.Process] = ()) -> bool:
        """Whether the service manager was told something, by another process than ``besides``."""
        while True:
            try:
                octets, ancillary, _, _ = self._notify.recvmsg(4096, socket.CMSG_SPACE(12))
            except BlockingIOError:
                break
            pid = next(struct.unpack("iII", data[:12])[0] for level, kind, data in ancillary
                       if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS))
            self.told.append((pid, octets.decode().split("\n")))
        pids = {process.pid for process in besides}
        return any(assignment in assignments and pid not in pids for pid, assignments in self.told)

    def children(self, acceptor: psutil.Process, title: str) -> list[psutil.Process]:
        """Return the children of an acceptor process of that title."""
        return [process for process in acceptor.children() if title_of(process).startswith(f"fastscp: {title}")]

    def family(self) -> list[psutil.Process]:
        """Return every process there is."""
        found = {}
        for acceptor in self.acceptors():
            for process in (acceptor, *acceptor.children(recursive=True)):
                found[process.pid] = process
        if self.process is not None and self.process.poll() is None:
            found[self.process.pid] = psutil.Process(self.process.pid)
        return list(found.values())

    def stop(self, deadline_s: float = DEADLINE_S) -> int:
        """End whoever serves with SIGTERM, and wait for everybody; return the exit status of the first one."""
        assert self.process is not None
        for acceptor in self.acceptors()[-1:]:
            acceptor.terminate()

        def over() -> bool:
            assert self.process is not None
            return self.process.poll() is not None and not self.acceptors()

        try:
            wait_until(over, "everybody ends", deadline_s)
        except AssertionError:
            sys.stderr.write(self.log().decode("latin-1")[-8000:])
            self.kill()
            raise
        return self.process.returncode

    def __exit__(self, *arguments: object) -> None:
        try:
            if arguments[0] is None:
                self.stop()
            else:
                sys.stderr.write(self.log().decode("latin-1")[-8000:])
                self.kill()
        finally:
            super().__exit__(*arguments)
            shutil.rmtree(self._programs)


class Steady(threading.Thread):
    """Opens an association every 20 ms, stores one object on it and releases it; whatever goes wrong is kept."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self.done = threading.Event()
        self.stored: list[str] = []
        self.trouble: list[str] = []

    def send(self) -> str:
        """Store one object on an association of its own; return its UID."""
        return store_one(self._port)

    def run(self) -> None:
        while not self.done.is_set():
            try:
                self.stored.append(f"CT.{self.send()}")
            except (Aborted, OSError, AssertionError) as error:
                self.trouble.append(repr(error))
            self.done.wait(0.02)

    def progress(self, objects: int) -> None:
        """Wait for so many further objects."""
        enough = len(self.stored) + objects
        wait_until(lambda: len(self.stored) >= enough or self.trouble, "progress")

    def finish(self) -> None:
        self.done.set()
        self.join(DEADLINE_S)
        assert self.trouble == []
