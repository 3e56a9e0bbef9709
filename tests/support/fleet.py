"""A fleet for tests: gateways on ports of this machine, and a PostgreSQL of their own."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.postgres import Postgres
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer


def url_of(postgres: Postgres, user: str = "dicom") -> str:
    return f"postgresql://{user}@/postgres?host={postgres.directory}"


Own = TypeVar("Own", bound="Gateway")


class Gateway:
    """One service, with an output directory in its ``directory``; it can be killed, stopped and started again on its port."""

    def __init__(self, directory: Path, *options: object, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.environment = environment
        self.output = directory / "in"
        self.output.mkdir(parents=True, exist_ok=True)
        self.arguments = ["-od", self.output, *options]
        self.server: FastscpServer | None = None
        self.port = 0

    def start(self: Own) -> Own:  # noqa: PYI019 - Self is newer than Python 3.10
        server = FastscpServer(self.arguments, environment=self.environment)
        if self.port:
            server.port = self.port
        server.start()
        self.server, self.port = server, server.port
        return self

    def __enter__(self: Own) -> Own:  # noqa: PYI019 - likewise
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.server is not None:
            self.server.__exit__(*(exc or (None, None, None)))

    def role(self, name: str) -> list[psutil.Process]:
        assert self.server is not None
        return self.server.role(name)

    def kill(self) -> None:
        """End every process at once, those that ship and upload included."""
        assert self.server is not None
        others = self.role("fleet") + self.role("objects")
        self.server.kill()
        for process in others:
            if process.is_running():
                process.kill()
        self.server.__exit__(None, None, None)
        self.server = None

    def stop(self) -> None:
        """End it as an operator does."""
        server, self.server = self.server, None
        assert server is not None
        server.__exit__(None, None, None)


class Member(Gateway):
    """A gateway of a fleet, and what its end-of-study hooks were told. Without ``url`` it is alone."""

    def __init__(self, directory: Path, url: str | None, *, timeout_s: int = 1, limit_s: int = 30, records: Path | None = None,
                 hook: str = "", options: tuple[object, ...] = (), usual: tuple[object, ...] = ("--workers", 1),
                 environment: dict[str, str] | None = None) -> None:
        self.records = records or directory / "records"
        self.events = directory / "events.jsonl"
        self.records.mkdir(parents=True, exist_ok=True)
        record = shlex.quote(str(self.records))
        command = hook or (f'cp "$FASTSCP_FLEET_OBJECTS" {record}/.$$ && '
                           f'mv {record}/.$$ {record}/"$FASTSCP_STUDY_UID.r$FASTSCP_REVISION.$FASTSCP_GATEWAY.$$.json"')
        fleet = () if url is None else ("--state", url, "--gateway-timeout", limit_s)
        super().__init__(directory, "-su", "s", "-tos", timeout_s, *fleet, "-xcs", command, "--event-log", self.events, *usual, *options,
                         environment=environment)

    def store(self, study: str, *instances: str, patient: str = "") -> None:
        """Send objects in one association; each has to be acknowledged."""
        with RawSCU("127.0.0.1", self.port) as scu:
            scu.associate(CT_CONTEXT)
            for instance in instances:
                status = scu.store(1, CT, instance, data_set(instance, study=study))
                assert status == 0, f"{status:04X}"
            scu.release()

    def told(self) -> list[dict[str, Any]]:
        """Return the events of the gateway itself."""
        return [json.loads(line) for line in self.events.read_bytes().splitlines()] if self.events.exists() else []


def ends(records: Path, study: str = "") -> list[dict[str, Any]]:
    """Return what end-of-study hooks were told, of one study or all."""
    return [json.loads((records / name).read_bytes()) for name in sorted(os.listdir(records))
            if not name.startswith(".") and name.startswith(study and f"{study}.r")]


def instances(end: dict[str, Any]) -> list[str]:
    return sorted(entry["sop_instance_uid"] for entry in end["objects"])
