"""A PgBouncer in front of a PostgreSQL of a test: a connection for each transaction, and fewer than its clients."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Postgres
from tests.support.servers import free_port, wait_until

#: nobody of Debian: it does not run as root
_NOBODY = 65534


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def needed() -> None:
    """Skip the test where there is no PgBouncer; in CI that is a failure."""
    if _program() is not None:
        return
    if os.environ.get("CI"):
        pytest.fail("in CI PgBouncer must be there")
    pytest.skip("PgBouncer is not installed")


class Pooler:
    """``with Pooler(postgres) as pooler``: who uses ``pooler.url`` shares ``size`` connections to the server."""

    def __init__(self, postgres: Postgres, size: int = 2) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fastscp-pool-"))
        self.port = free_port()
        self._postgres = postgres
        self._size = size
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://dicom@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "any", "pool_mode": "transaction",
                    "default_pool_size": self._size, "server_login_retry": 1}
        file = self.directory / "pgbouncer.ini"
        file.write_text(f"[databases]\npostgres = host={self._postgres.directory} user=dicom\n[pgbouncer]\n"
                        + "".join(f"{name} = {value}\n" for name, value in settings.items()), encoding="ascii")
        identity: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if identity:
            os.chown(self.directory, _NOBODY, _NOBODY)
        self._process = subprocess.Popen([str(_program()), "-q", str(file)], cwd=self.directory, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, **identity)
        wait_until(lambda: self.query("SELECT 1") == "1", "PgBouncer answers")

    def query(self, text: str) -> str:
        """Return what psql says through the pooler, "" when there is none."""
        done = subprocess.run(["psql", "-X", "-A", "-t", "-c", text, self.url], text=True, capture_output=True, check=False)
        return done.stdout.strip()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Pooler:  # noqa: PYI034 - Self is newer than Python 3.10
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self.directory)
