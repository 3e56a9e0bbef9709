"""Two hundred studies over eight associations, each study sent by two of them that do not keep step."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.process.test_studies_under_load import in_parallel
from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until

STUDIES = 200
OBJECTS = 5
PAIRS = 4
TIMEOUT_S = 2
LEAD, LAG = 2, 1  #: studies by which the first of two associations is ahead, at most and at first
_INSTANCE = re.compile(rb"1\.2\.4\.[0-9]+\.[0-9]+")


class Pair:
    """Two associations with the same studies: one sends three objects of each, the other, behind it, two."""

    def __init__(self, number: int, everybody: threading.Barrier) -> None:
        self.studies = range(number, STUDIES, PAIRS)
        self.everybody = everybody
        self.times: dict[int, list[tuple[float, float]]] = {}  #: when each object of a study was begun and answered
        self.ahead = threading.Semaphore(LEAD)
        self.behind = threading.Semaphore(0)

    def first(self, port: int) -> None:
        with RawSCU("127.0.0.1", port) as scu:
            self._begin(scu)
            for count, study in enumerate(self.studies):
                assert self.ahead.acquire(timeout=60)
                self._send(scu, study, range(3))
                if count >= LAG:
                    self.behind.release()
            self.behind.release(LAG)
            scu.release()

    def second(self, port: int) -> None:
        with RawSCU("127.0.0.1", port) as scu:
            self._begin(scu)
            for study in self.studies:
                assert self.behind.acquire(timeout=60)
                self._send(scu, study, range(3, OBJECTS))
                self.ahead.release()
            scu.release()

    def _begin(self, scu: RawSCU) -> None:
        scu.associate(CT_CONTEXT)
        self.everybody.wait(60)

    def _send(self, scu: RawSCU, study: int, items: range) -> None:
        for item in items:
            instance = f"1.2.4.{study}.{item}"
            begun = time.monotonic()
            status = scu.store(1, CT, instance, data_set(instance, study=f"1.2.3.{study}", pixels=64))
            assert status == 0, hex(status)
            self.times.setdefault(study, []).append((begun, time.monotonic()))

    def paused(self) -> set[int]:
        """Return the studies of which a slow machine may have sent nothing for as long as the timeout."""
        found = set()
        for study, times in self.times.items():
            times.sort()
            pauses = [answered - begun for (begun, _), (_, answered) in itertools.pairwise(times)]
            if max(pauses) >= TIMEOUT_S:
                found.add(study)
        return found


def send_load(port: int) -> set[int]:
    """Send everything; return the studies that may have ended before they were complete."""
    everybody = threading.Barrier(2 * PAIRS)
    pairs = [Pair(number, everybody) for number in range(PAIRS)]
    in_parallel([lambda send=send: send(port) for pair in pairs for send in (pair.first, pair.second)])  # type: ignore[misc]
    return {study for pair in pairs for study in pair.paused()}


def instances(directory: Path) -> list[str]:
    """Return the SOP instances of the files in a directory, one for each file."""
    found = [_INSTANCE.search(path.read_bytes()) for path in sorted(directory.iterdir()) if path.suffix != ".json"]
    assert all(found), directory
    return [match[0].decode() for match in found if match]


ALL_INSTANCES = Counter(f"1.2.4.{study}.{item}" for study in range(STUDIES) for item in range(OBJECTS))


class Consumer:
    """Removes every study that it finds in a directory, and notes what was in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.studies: dict[str, list[str]] = {}
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Consumer:  # noqa: PYI034 - Self is newer than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.002):
                self._take()
            self._take()
        except BaseException as error:
            self.failure = error

    def _take(self) -> None:
        for name in os.listdir(self.directory):
            if not name.startswith("."):
                assert name not in self.studies, f"{name} came twice"
                self.studies[name] = instances(self.directory / name)
                shutil.rmtree(self.directory / name)


def lines(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []


def ends(calls: Path, directory: Path, paused: set[int]) -> Counter[str]:
    """Return the end-of-study hooks that ran, without further ends of studies that were paused too long."""
    further = {f"{directory}/P_1.2.3.{study}" for study in paused}
    return Counter(line for line in lines(calls)
                   if line.endswith(" 1") or line.split()[0].partition(".r")[0] not in further)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def options(output: Path, calls: Path) -> list[str | Path]:
    return ["-od", output, "-su", "P", "-rns", "-tos", str(TIMEOUT_S), "-xcs", f'echo "#p $FASTSCP_REVISION" >>{calls}',
            "--workers", "2", "-dhl"]


def test_every_study_ends_once(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with FastscpServer(options(output, calls)) as server:
        paused = send_load(server.port)
        wait_until(lambda: len(lines(calls)) >= STUDIES, "every study ended")
        assert server.stop() == 0
    assert ends(calls, output, paused) == Counter(f"{output}/P_1.2.3.{study} 1" for study in range(STUDIES))
    found = [instance for study in range(STUDIES) for instance in instances(output / f"P_1.2.3.{study}")]
    assert Counter(found) == ALL_INSTANCES


def test_every_study_is_handed_over_once_and_whole(output: Path, tmp_path: Path) -> None:
    calls, done = tmp_path / "calls", tmp_path / "done"
    with FastscpServer([*options(output, calls), "--completed-directory", done]) as server:
        wait_until(done.is_dir, "the directory was made")
        with Consumer(done) as consumer:
            paused = send_load(server.port)
            wait_until(lambda: len(lines(calls)) >= STUDIES, "every study ended")
            assert server.stop() == 0
    assert ends(calls, done, paused) == Counter(f"{done}/P_1.2.3.{study} 1" for study in range(STUDIES))
    assert all(len(names) == OBJECTS for names in consumer.studies.values()) or paused
    assert Counter(instance for names in consumer.studies.values() for instance in names) == ALL_INSTANCES
    assert os.listdir(output) == [".fastscp"]
