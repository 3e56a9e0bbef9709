"""haproxy in front of gateways: the PROXY protocol, checks, and its socket, by which one of them is drained."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.servers import free_port, wait_until

ADDRESS = "127.0.0.9"  #: where it connects from: what ``--proxy-protocol`` of the gateways is to name


def program() -> str | None:
    """Return where haproxy is: Debian keeps it out of the PATH of users."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def needed() -> str:
    """Return haproxy; without it the test is skipped, in CI it fails."""
    found = program()
    if found is None and os.environ.get("CI"):
        pytest.fail("in CI haproxy must be there")
    if found is None:
        pytest.skip("haproxy is not installed")
    return found


def configuration(port: int, control: Path, gateways: Mapping[str, int]) -> str:
    """Return what haproxy is to do: as docs/balancers.md has it, with checks that are soon done."""
    servers = "".join(f"    server {name} 127.0.0.1:{gateway} send-proxy-v2 source {ADDRESS} check inter 200ms fall 1 rise 1\n"
                      for name, gateway in gateways.items())
    return (f"global\n    stats socket {control} mode 600 level admin\n"
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n"
            "    option redispatch\n    retries 3\n"
            f"listen dicom\n    bind 127.0.0.1:{port}\n    balance leastconn\n{servers}")


class Balancer:
    """``with Balancer({"a": 11112, "b": 11113}) as balancer: balancer.port``. It can be killed and started again."""

    def __init__(self, gateways: Mapping[str, int]) -> None:
        self.port = free_port()
        self._gateways = gateways
        self._directory = Path(tempfile.mkdtemp(prefix="fastscp-ha-"))  # a socket's path has to be short
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it passes connections on to every gateway."""
        file = self._directory / "haproxy.cfg"
        file.write_text(configuration(self.port, self._control, self._gateways))
        self._process = subprocess.Popen([str(program()), "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: all(self.state(name) == "UP" for name in self._gateways), "haproxy has found every gateway")

    @property
    def pid(self) -> int:
        """The number of its process, which is the only one."""
        assert self._process is not None
        return self._process.pid

    @property
    def _control(self) -> Path:
        return self._directory / "control"

    def _say(self, command: str) -> str:
        """Give a command; return what it answers, "" when nobody is there."""
        with socket.socket(socket.AF_UNIX) as control:
            try:
                control.connect(str(self._control))
                control.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: control.recv(65536), b"")).decode().strip()
            except OSError:
                return ""

    def _column(self, name: str, column: int) -> str:
        rows = [line.split(",") for line in self._say("show stat").splitlines()]
        return next((row[column] for row in rows if row[:2] == ["dicom", name]), "")

    def state(self, name: str) -> str:
        """Return what it takes a gateway for: UP, DOWN, DRAIN, a word of its own in between."""
        return self._column(name, 17)

    def sessions(self, name: str) -> int:
        """Return how many connections a gateway has through it."""
        return int(self._column(name, 4) or 0)

    def drain(self, name: str) -> None:
        """Give a gateway no further connection; those that it has stay."""
        self._say(f"set server dicom/{name} state drain")

    def restore(self, name: str) -> None:
        """Give a gateway connections again."""
        self._say(f"set server dicom/{name} state ready")

    def kill(self) -> None:
        """End it in the middle of everything that it carries."""
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Balancer:  # noqa: PYI034 - Self is newer than Python 3.10
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._directory)
