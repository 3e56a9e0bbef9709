"""A Redis server of its own: Debian's program, in a temporary directory, on a port of this machine.

Debian's package redis-tools is enough: its redis-check-rdb is the server under another name. No daemon comes with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.pki import Authority
from tests.support.servers import free_port, wait_until

#: nobody of Debian: no server runs as root
_NOBODY = 65534


def needed() -> None:
    """Skip the test where there is no Redis; in CI that is a failure."""
    if _program() is not None:
        return
    if os.environ.get("CI"):
        pytest.fail("in CI Redis must be there")
    pytest.skip("Redis is not installed")


def _program() -> str | None:
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


class RedisServer:
    """``with RedisServer() as server``: every write is on the disk before it is answered. It can be killed and started."""

    def __init__(self, *options: str, port: int = 0) -> None:
        self.directory = tempfile.mkdtemp(prefix="fastscp-redis-")
        self.port = port or free_port()
        self._options = options
        self._identity: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._identity:
            os.chown(self.directory, _NOBODY, _NOBODY)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **more: Any) -> redis.Redis:
        return redis.Redis(port=self.port, **more)

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.directory, "--appendonly", "yes", "--appendfsync", "always",
                   "--save", "", *self._options]
        self._process = subprocess.Popen(["redis-server", *options], executable=_program(), cwd=self.directory,
                                         stdout=subprocess.DEVNULL, **self._identity)
        wait_until(self._answers, "Redis answers")

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False

    def use_tls(self, password: str) -> tuple[int, Path]:
        """Serve TLS too; return the port and the file of the authority."""
        authority = Authority.make(Path(self.directory))
        identity = authority.issue("localhost")
        port, root = free_port(), Path(authority.certificate_file())
        files = {"tls-ca-cert-file": root, "tls-cert-file": identity.certificate_file(), "tls-key-file": identity.key_file()}
        for file in files.values():
            os.chmod(file, 0o644)  # the server is somebody else
        with self.client(password=password) as client:
            client.execute_command("CONFIG", "SET", *(word for name, file in files.items() for word in (name, str(file))),
                                   "tls-auth-clients", "no", "tls-port", str(port))
        return port, root

    @property
    def runs(self) -> bool:
        """Whether it was started, and not ended."""
        return self._process is not None

    def kill(self) -> None:
        """End the server with SIGKILL; what it wrote stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def entries(self, stream: str = "fastscp") -> list[dict[str, str]]:
        """Return what is in a stream."""
        with self.client(decode_responses=True) as client:
            found: Sequence[tuple[str, dict[str, str]]] = client.xrange(stream)  # type: ignore[assignment]
            return [fields for _, fields in found]

    def __enter__(self) -> RedisServer:  # noqa: PYI034 - Self is newer than Python 3.10
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        shutil.rmtree(self.directory)
