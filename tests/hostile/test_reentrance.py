"""Many associations that all have something to say to a coordinator that has just died."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hostile import associated, store_message, store_one
from tests.support.objects import fresh_uid
from tests.support.servers import FastscpServer

ASSOCIATIONS = 150
OBJECTS = 4


@pytest.mark.parametrize("options", [["--event-log", "/dev/null"], ["-su", "study", "-xs", "-xcr", "true"]])
def test_pipelining_associations_survive_the_death_of_the_coordinator(tmp_path: Path, options: list[str]) -> None:
    with FastscpServer(["--workers", "1", "-dhl", "-od", tmp_path, *options]) as server:
        worker = server.role("worker")[0]
        scus = [associated(server.port) for _ in range(ASSOCIATIONS)]
        coordinator = server.role("coordinator")[0]
        coordinator.suspend()
        sent = []
        for scu in scus:
            uids = [fresh_uid() for _ in range(OBJECTS)]
            scu.send(b"".join(store_message(uid, message_id=number + 1) for number, uid in enumerate(uids)))
            sent += [f"CT.{uid}" for uid in uids]
        coordinator.kill()
        for scu in scus:
            assert [scu.read_status() for _ in range(OBJECTS)] == [0] * OBJECTS
            scu.release()
        store_one(server.port)
        assert worker.is_running()
        assert b"RecursionError" not in server.log()
    assert set(sent) <= {path.name for path in tmp_path.rglob("CT.*")}
