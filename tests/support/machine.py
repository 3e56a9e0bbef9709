"""A machine on which the commands of a page are run as they are pasted: ``python -m tests.support.machine < page.json``.

It is this machine with a layer above its file system, a network and processes of its own (namespaces, so it takes root): ports are
free, ``/data`` and ``/etc`` can be written, and nothing of it stays. What is pasted into one terminal after the other is a *step*. A step
whose command has become a service goes on, until a step comes that starts another, and ends with SIGTERM and status 0, as a user would end
it. A line is printed for each step; the last one tells everything, as JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_PROGRAMS = {"sh": ("bash", "-euo", "pipefail", "-c"), "python": ("python3", "-c")}
_STARTS_SERVICE = re.compile(r"^(?:.*&& )?(?:fastscp|scripts/serve)(?![\w-])(?!.*--check-config[^&]*$)|\bReceiver\(.*\.run\(\)", re.MULTILINE)
_COMPLAINT = re.compile(r"^[EF]: .*|^W: .*\bhook\b.*|^error: .*|^Traceback .*", re.MULTILINE)
_MS_BIND, _MS_REC = 4096, 16384
_LIBC = ctypes.CDLL(None, use_errno=True)
Pids = set[int]


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    target.mkdir(parents=True, exist_ok=True)
    if _LIBC.mount(source.encode(), str(target).encode(), kind.encode() or None, flags, data.encode() or None):
        raise OSError(ctypes.get_errno(), f"mount of {source} at {target}")


def layered_root(work: Path, kept: list[Path]) -> Path:
    """Make the root of the machine below ``work``: everything that is here, and whatever is written goes away with it.

    ``kept`` are directories that have to be seen; where they are on other file systems those are bound.
    """
    mount("tmpfs", work, "tmpfs")
    for name in ("upper", "work"):
        (work / name).mkdir()
    root = work / "root"
    mount("overlay", root, "overlay", data=f"lowerdir=/,upperdir={work / 'upper'},workdir={work / 'work'}")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines()]
    for point in sorted({point for point in points if point != "/" and any(path.is_relative_to(point) for path in kept)}):
        if not work.is_relative_to(point):
            mount(point, root / point[1:], flags=_MS_BIND | _MS_REC)
    mount("proc", root / "proc", "proc")
    for name in ("dev", "sys"):
        mount(f"/{name}", root / name, flags=_MS_BIND | _MS_REC)
    return root


def let_others_pass(root: Path, kept: list[Path]) -> None:
    """Let other users reach what is kept below a private directory, in the layer: services become other users."""
    for directory in {parent for path in kept for parent in (path, *path.parents)}:
        found = root / str(directory)[1:]
        if found.is_dir() and found.stat().st_dev == root.stat().st_dev:
            found.chmod(found.stat().st_mode | 0o055)


def loopback_up() -> None:
    """Bring up the loopback interface of the new network (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


class Readiness:
    """What services say to NOTIFY_SOCKET: who of them serves."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.address)
        os.chmod(directory, 0o755)
        os.chmod(self.address, 0o777)  # services become other users
        self._socket.setblocking(False)

    def ready(self) -> Iterator[int]:
        """Yield the processes that have said that they are ready since the last time."""
        while True:
            try:
                octets, ancillary, _, _ = self._socket.recvmsg(4096, 64)
            except BlockingIOError:
                return
            if b"READY=1" in octets:
                yield struct.unpack("iii", ancillary[0][2][:12])[0]


@dataclass
class Step:
    """One paste: its shell, and what it wrote."""

    text: str
    language: str
    shell: subprocess.Popen[bytes]
    output: Any
    services: list[int] = field(default_factory=list)
    ended: bool = False

    def told(self) -> str:
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    def serves(self) -> bool:
        """Tell whether nothing but services is left; a program in Python is one when something of it listens, and ends that itself."""
        if self.language == "python":
            mine = family(self.shell.pid)
            listening = any(one.status == psutil.CONN_LISTEN and one.pid in mine for one in psutil.net_connections("tcp"))
            self.services = [self.shell.pid] if listening else []
            return listening
        return bool(self.services) and not self.others()

    def others(self) -> Pids:
        """Return the living processes of the paste that are neither shells nor part of a service."""
        with contextlib.suppress(psutil.NoSuchProcess):
            shell = psutil.Process(self.shell.pid)
            services = {pid for service in self.services for pid in family(service)}
            return {process.pid for process in (shell, *shell.children(recursive=True))
                    if process.pid not in services and process.name() != "bash" and process.status() != psutil.STATUS_ZOMBIE}
        return set()


def family(pid: int) -> Pids:
    with contextlib.suppress(psutil.NoSuchProcess):
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return {pid}


class Machine:
    """Runs the steps of a page; ``problems`` is what went wrong."""

    def __init__(self, page: dict[str, Any], directory: Path) -> None:
        self._page = page
        self._readiness = Readiness(directory)
        self._environment = {**os.environ, **page["environment"], "NOTIFY_SOCKET": self._readiness.address}
        self._serving: list[Step] = []
        self.problems: list[str] = []
        self.report: list[dict[str, Any]] = []

    def run(self) -> None:
        for number, text in enumerate(self._page["before"]):
            self._step(f"before {number}", text, quiet=True)
        for step in self._page["steps"]:
            if step["file"]:
                path = Path(self._page["directory"], step["file"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step["text"], encoding="utf-8")
                path.chmod(0o755)
            else:
                self._step(step["where"], step["text"], step["language"])
        self._stop_services()
        for number, text in enumerate(self._page["after"]):
            self._step(f"after {number}", text)

    def _step(self, where: str, text: str, language: str = "sh", *, quiet: bool = False) -> None:
        if _STARTS_SERVICE.search(text):
            self._stop_services()
        begun = time.monotonic()
        output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the step
        shell = subprocess.Popen([*_PROGRAMS[language], text], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment,
                                 cwd=self._page["directory"], start_new_session=True)
        step = Step(text, language, shell, output)
        self._wait(where, step)
        if step.services:
            self._serving.append(step)
            if self._page["send"] and not quiet:
                self._step(f"{where}, what is sent to it", self._page["send"], quiet=True)
        told = step.told()
        if not quiet:
            self.problems += [f"{where}: {line}" for line in _COMPLAINT.findall(told)]
        self.report.append({"where": where, "serves": bool(step.services), "seconds": round(time.monotonic() - begun, 2), "told": told})
        print(where, self.report[-1]["seconds"], flush=True)

    def _wait(self, where: str, step: Step) -> None:
        """Return when the paste has ended, or nothing but services is left of it."""
        end, quiet = time.monotonic() + self._page["limit_s"], 0
        behind = step.language == "sh" and _STARTS_SERVICE.search(step.text) is not None  # what the shell has left behind is waited for
        while step.shell.poll() is None or (behind and not step.shell.returncode and not step.services):
            step.services += self._readiness.ready()
            quiet = quiet + 1 if step.serves() else 0
            # a shell that goes from one command to the next has no child for a moment; a program may serve for a moment
            if quiet > (50 if step.language == "python" else 20):
                return
            if time.monotonic() > end:
                self.problems.append(f"{where}: neither ends nor serves\n{step.told()}")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(step.shell.pid, signal.SIGKILL)
                step.shell.wait()
                return
            time.sleep(0.02)
        step.ended = True
        step.services += self._readiness.ready()
        if step.shell.returncode:
            self.problems.append(f"{where}: status {step.shell.returncode}\n{step.told()}")

    def _stop_services(self) -> None:
        while self._serving:
            step = self._serving.pop()
            for pid in step.services:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            try:
                # orphans are children of this process, which is the first of its namespace
                statuses = [os.waitpid(pid, 0)[1] for pid in step.services] if step.ended else [step.shell.wait(60)]
            except (subprocess.TimeoutExpired, ChildProcessError) as error:
                statuses = [str(error)]
            if any(statuses):
                self.problems.append(f"{step.text!r} ended with {statuses} after SIGTERM\n{step.told()}")
            self.problems += [f"{step.text!r}: {line}" for line in _COMPLAINT.findall(step.told())]


def main() -> int:
    page = json.load(sys.stdin)
    kept = [Path(path) for path in page["kept"]]
    work = Path(page["work"])
    root = layered_root(work, kept)
    let_others_pass(root, kept)
    os.chroot(root)
    os.chdir("/")
    loopback_up()
    directory = Path(page["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    for sample in page["samples"]:
        shutil.copy(sample, directory)
    with tempfile.TemporaryDirectory(dir="/run" if os.access("/run", os.W_OK) else "/") as own:
        machine = Machine(page, Path(own))
        machine.run()
    print(json.dumps({"problems": machine.problems, "steps": machine.report}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
