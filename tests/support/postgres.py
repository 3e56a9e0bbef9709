"""A PostgreSQL server of its own: Debian's programs, a new database in a temporary directory, no TCP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.servers import wait_until

#: somebody who is not root, whom the server would refuse; nobody of Debian
_NOBODY = 65534


def program(name: str) -> str | None:
    """Return where a program of the server is: Debian keeps them out of PATH."""
    return next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)),
                shutil.which(name))


def needed() -> None:
    """Skip the test where there is no PostgreSQL; in CI that is a failure."""
    if program("initdb") is not None and shutil.which("psql") is not None:
        return
    if os.environ.get("CI"):
        pytest.fail("in CI PostgreSQL must be there")
    pytest.skip("PostgreSQL is not installed")


class Postgres:
    """``with Postgres() as postgres``: its ``environment`` leads clients to it. It can be stopped and started.

    ``settings`` are lines of its configuration: ``fsync=on``.
    """

    def __init__(self, settings: Sequence[str] = ()) -> None:
        self._settings = ("listen_addresses=", "fsync=off", *settings)
        self.directory = tempfile.mkdtemp(prefix="fastscp-pg-")  # a socket's path has to be short
        self._data = f"{self.directory}/data"
        self._identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        if self._identity:
            os.chown(self.directory, _NOBODY, _NOBODY)
        self._run("initdb", "-D", self._data, "-U", "dicom", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": self.directory, "PGUSER": "dicom", "PGDATABASE": "postgres"}

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run([str(program(name)), *arguments], check=True, stdout=subprocess.DEVNULL, cwd=self.directory,
                       **self._identity)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._process = subprocess.Popen(
            [str(program("postgres")), "-D", self._data, "-k", self.directory, *(word for line in self._settings for word in ("-c", line))],
            cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._identity)
        wait_until(lambda: self.query("SELECT 1") == "1", "PostgreSQL answers")

    def query(self, text: str) -> str:
        """Return what psql says, "" when there is no server."""
        done = subprocess.run(["psql", "-X", "-A", "-t", "-c", text], env={**os.environ, **self.environment}, text=True,
                              capture_output=True, check=False)
        return done.stdout.strip()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End the server, whoever is connected; its data stay."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not ended."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The number of its first process."""
        assert self._process is not None
        return self._process.pid

    def crash(self) -> None:
        """End the server without letting it tidy up; its data stay."""
        self.stop(signal.SIGQUIT)

    def __enter__(self) -> Postgres:  # noqa: PYI034 - Self is newer than Python 3.10
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self.directory)
