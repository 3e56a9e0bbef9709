"""Objects that were answered while the coordinator did nothing are in their study, whatever dies then."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.objects import CT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until

STUDY = "1.2.3.7"
OBJECTS = 40


def options(output: Path, calls: Path) -> list[str | Path]:
    hook = f'echo "$(ls "$FASTSCP_PATH" | wc -l) $FASTSCP_REVISION" >>{calls}'
    return ["-od", output, "-su", "P", "-tos", "1", "-xcs", hook, "--study-manifest", "--workers", "1", "-dhl"]


@contextmanager
def association(server: FastscpServer) -> Iterator[RawSCU]:
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate([(1, CT, ["1.2.840.10008.1.2.1"])])
    try:
        yield scu
    finally:
        scu.close()


def store(scu: RawSCU, number: int) -> int:
    return scu.store(1, CT, f"1.2.4.{number}", data_set(f"1.2.4.{number}", study=STUDY, pixels=64))


def lines(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("victims", ["all", "worker first", "coordinator first"])
def test_what_was_answered_is_in_its_study(output: Path, tmp_path: Path, victims: str) -> None:
    calls = tmp_path / "calls"
    with FastscpServer(options(output, calls)) as server:
        (coordinator,), (worker,) = server.role("coordinator"), server.role("worker")
        with association(server) as scu:
            assert store(scu, 0) == 0
            coordinator.send_signal(signal.SIGSTOP)
            for number in range(1, OBJECTS):
                assert store(scu, number) == 0, "nobody waits for the coordinator"
            assert list((output / ".fastscp" / "journals").iterdir())
            if victims == "worker first":
                worker.kill()
            if victims != "all":
                coordinator.kill()
                wait_until(lambda: server.role("coordinator") not in ([], [coordinator]), "another coordinator")
            if victims == "coordinator first":
                worker.kill()
        if victims == "all":
            worker.kill()
            coordinator.kill()
            server.kill()
        else:
            wait_until(lambda: lines(calls), "the study ended")
            assert server.stop() == 0
    if victims == "all":
        with FastscpServer(options(output, calls)) as server:
            wait_until(lambda: lines(calls), "the study ended")
            assert server.stop() == 0
    assert lines(calls) == [f"{OBJECTS + 1} 1"], "once, with all objects and the manifest"
    names = sorted(os.listdir(output / f"P_{STUDY}"))
    assert [name for name in names if name.startswith("CT")] == sorted(f"CT.1.2.4.{number}" for number in range(OBJECTS))
    assert list((output / ".fastscp" / "journals").iterdir()) == []


def test_study_ends_though_an_idle_association_keeps_its_place(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with FastscpServer(options(output, calls)) as server:
        with association(server) as scu:
            for number in range(3):
                assert store(scu, number) == 0
            wait_until(lambda: lines(calls), "the study ended")
            assert store(scu, 3) == 0
            wait_until(lambda: len(lines(calls)) == 2, "it ended again")
            scu.release()
        assert server.stop() == 0
    assert lines(calls)[0] == "4 1"
