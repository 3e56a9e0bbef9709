"""Every system call for an object fails once: a failure leaves nothing, and the next object is stored."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.store.policy import FileNames, StorePolicy, Sync
from fastscp.study.policy import Sorting, StudyPolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.quarantine import KEPT
from tests.corpus import wire
from tests.support.fake_worker import Bench, data_set
from tests.support.faults import KINDS, Faults

NAME = f"CT.{wire.INSTANCE}"
NETWORK = NetworkPolicy(acse_timeout_s=30)
DEFLATED = OutputOptions(transfer_syntax="1.2.840.10008.1.2.1.99")
#: Patient's Name in front of everything else: the data set has to be sorted
DISORDERED = bytes.fromhex("10 00 10 00 02 00 00 00 41 20") + data_set()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch, "store", "worker", "dicom")


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system than the temporary directories of tests."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def snapshot(*directories: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for directory in directories for path in directory.rglob("*") if path.is_file()}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Case:
    """One way to store an object, each time in a new directory."""

    def __init__(self, root: Path, *, target: Path | str = "", hidden: bool = False, data: bytes | None = None,
                 earlier: bool = False, **policies: Any) -> None:
        self.root, self._target = root, target
        self._hidden, self._data, self._earlier = hidden, data, earlier
        self._output = policies.pop("output", OutputOptions())
        self._policy = policies
        self._count = 0
        self.places: list[Path] = []

    def bench(self) -> Bench:
        self._count += 1
        directory = self.root / str(self._count)
        directory.mkdir()
        self.directory = directory / self._target
        if self.directory != directory:
            self.directory /= str(self._count)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.places = [directory, *([self.directory] if self.directory.is_absolute() else [])]
        self.places += [Path(place) for place in [self._policy.get("quarantine")] if isinstance(place, str)]
        study = StudyPolicy(sorting=Sorting.STUDY_UID) if self._target else StudyPolicy()
        bench = Bench(Config(network=NETWORK, study=study, output=self._output,
                             store=StorePolicy(str(directory), **self._policy))).established()  # type: ignore[arg-type]
        if self._hidden:  # as on file systems without anonymous files
            used = bench.context.service.reception.directory
            used.follow_path()
            used._anonymous = False
        if self._earlier:
            assert self.send(bench) == 0
        return bench

    def send(self, bench: Bench, instance: str = wire.INSTANCE, *, good: bool = False) -> int:
        octets = data_set(instance) if self._data is None or good else self._data
        bench.arrive(encode_data(3, 3, wire.store_command(1, instance=instance)), encode_data(3, 0, octets[:20]),
                     encode_data(3, 2, octets[20:]))
        bench.rounds()
        for request in list(bench.reporter.answers):
            bench.reporter.placed(self.directory, request)
            bench.rounds()
        for event in list(bench.reporter.notices):
            acknowledged = bench.reporter.notices.pop(event)["on_acknowledged"]
            assert acknowledged is not None
            acknowledged()
            bench.rounds()
        (status,) = bench.statuses()
        return status

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for place in self.places for path in place.rglob("*") if path.is_file()}


def is_hidden(name: str) -> bool:
    return os.path.basename(name).startswith((".", "tmp"))


def check(case: Case, faults: Faults, kind: str, stored: int = 0) -> int:
    """Let each call of a kind fail, one after the other; return how many there were. ``stored`` is the answer without a fault."""
    number = 0
    hit = True
    while hit:
        number += 1
        bench = case.bench()
        before, open_before = case.files(), descriptors()
        faults.arm(kind, number)
        status = case.send(bench)
        hit = faults.disarm()
        after, what = case.files(), f"{kind} {number}"
        if status == -7:  # it had its name
            assert hit, what
            assert len({name for name in after if not is_hidden(name)}) > len(before) - 1, what
        elif status == 0xA700:
            assert hit, what
            assert {name: octets for name, octets in after.items() if not is_hidden(name)} == before, what
            assert bench.connection.storage.outcomes.tally.refused == 1, what
        else:
            assert status == stored, what
            assert set(after) > set(before) or after != before or case._earlier, what
        bench.reporter.answers.clear()
        between = case.files()
        assert case.send(bench.reconnected(), "1.2.9.9", good=True) == 0, what
        assert len({name for name in case.files().keys() - between.keys() if not is_hidden(name)}) == 1, what
        if stored == KEPT:  # what is left in the quarantine goes with the next object there
            case.send(bench)
        assert not [name for name in case.files() if is_hidden(name)], what
        bench.connection.close("gone")
        assert descriptors() <= open_before + 2, f"{what}: output directory and quarantine stay open"
        bench.context.service.reception.directory.close()
    return number - 1


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "replaced": {"earlier": True},
    "sorted": {"target": "S_1"},
    "sorted and replaced": {"target": "S_1", "earlier": True},
    "without anonymous files": {"hidden": True},
    "without anonymous files, replaced": {"hidden": True, "earlier": True},
    "unique name": {"file_names": FileNames.UNIQUE},
    "synchronised": {"sync": Sync.OBJECT},
    "synchronised, sorted and replaced": {"sync": Sync.OBJECT, "target": "S_1", "earlier": True},
    "synchronised in groups": {"sync": Sync.GROUP, "target": "S_1"},
    "disordered": {"data": DISORDERED},
    "deflated": {"output": DEFLATED},
    "deflated and disordered": {"output": DEFLATED, "data": DISORDERED},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_call_that_fails(tmp_path: Path, faults: Faults, name: str, kind: str) -> None:
    check(Case(tmp_path, **CASES[name]), faults, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("earlier", [False, True])
def test_call_that_fails_on_the_way_to_another_file_system(tmp_path: Path, elsewhere: Path, faults: Faults, kind: str, *,
                                                           earlier: bool) -> None:
    check(Case(tmp_path, target=elsewhere, earlier=earlier), faults, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_call_that_fails_while_an_object_is_quarantined(tmp_path: Path, faults: Faults, kind: str) -> None:
    (tmp_path / "quarantine").mkdir()
    check(Case(tmp_path, quarantine=str(tmp_path / "quarantine"), data=data_set("1.2.8")), faults, kind, KEPT)
