"""Studies and hooks of the whole service, with many associations at once."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import FastscpServer, wait_until

STUDIES = 200
OBJECTS = 5
ASSOCIATIONS = 8
BASE = ["--workers", "2", "-dhl"]


def study_uid(number: int) -> str:
    return f"1.2.3.{number}"


def share(index: int) -> list[tuple[str, str]]:
    """Return the (study, instance) pairs that one association sends: every eighth study, object after object."""
    return [(study_uid(number), f"1.2.4.{number}.{item}")
            for number in range(index, STUDIES, ASSOCIATIONS) for item in range(OBJECTS)]


def send_all(port: int, pairs: list[tuple[str, str]], *, repeat: bool = False) -> list[str]:
    """Send over one association (with ``repeat`` over as many as it takes); return the acknowledged instances."""
    acknowledged: list[str] = []
    end = time.monotonic() + 60
    while len(acknowledged) < len(pairs) and time.monotonic() < end:
        try:
            with RawSCU("127.0.0.1", port) as scu:
                scu.associate(CT_CONTEXT)
                for study, instance in pairs[len(acknowledged):]:
                    status = scu.store(1, CT, instance, data_set(instance, study=study, pixels=64))
                    assert status == 0, hex(status)
                    acknowledged.append(instance)
                scu.release()
        except (Aborted, OSError):
            if not repeat:
                raise
    return acknowledged


def in_parallel(jobs: list[Callable[[], object]]) -> None:
    failures: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures


def send_load(port: int, *, repeat: bool = False) -> list[list[str]]:
    """Send all studies, eight at a time, each over one association."""
    results: list[list[str]] = [[] for _ in range(ASSOCIATIONS)]

    def sender(index: int) -> None:
        results[index] = send_all(port, share(index), repeat=repeat)

    in_parallel([lambda index=index: sender(index) for index in range(ASSOCIATIONS)])  # type: ignore[misc]
    return results


def directories(output: Path) -> dict[str, list[str]]:
    return {entry.name: sorted(os.listdir(entry)) for entry in output.iterdir() if not entry.name.startswith(".")}


def uid_in(path: Path) -> str:
    found = re.search(rb"\x20\x00\x0d\x00UI..(1\.2\.3\.[0-9]+)", path.read_bytes(), re.DOTALL)
    assert found
    return found[1].decode()


@pytest.mark.parametrize("sorting", ["-su", "-ss"])
def test_interleaved_studies_end_once_each(tmp_path: Path, sorting: str) -> None:
    output, calls = tmp_path / "out", tmp_path / "calls"
    output.mkdir()
    options = ["-od", output, sorting, "P", "-rns", "-tos", "2", "-xcs", f"echo #p >>{calls}", *BASE]
    with FastscpServer(options) as server:
        send_load(server.port)
        wait_until(lambda: calls.exists() and len(calls.read_text().split()) >= STUDIES, "every study ended")
        assert server.stop() == 0
    found = directories(output)
    ended = calls.read_text().split()
    assert Counter(ended) == Counter(f"{output}/{name}" for name in found)
    assert len(ended) == STUDIES
    numbered = [f"CT{number:06d}" for number in range(1, OBJECTS + 1)]
    assert all(names == numbered for names in found.values())
    for name, names in found.items():
        studies = {uid_in(output / name / file) for file in names}
        assert len(studies) == 1
        if sorting == "-su":
            assert name == f"P_{studies.pop()}"


def test_study_over_four_associations_ends_once_with_all_its_objects(tmp_path: Path) -> None:
    output, calls = tmp_path / "out", tmp_path / "calls"
    output.mkdir()
    pairs = [("1.2.3.1", f"1.2.4.{index}") for index in range(40)]
    options = ["-od", output, "-ss", "P", "-rns", "-tos", "1", "-xcs",
               f'echo "#p $FASTSCP_OBJECTS" >>{calls}', *BASE]
    with FastscpServer(options) as server:
        in_parallel([lambda index=index: send_all(server.port, pairs[index::4]) for index in range(4)])  # type: ignore[misc]
        wait_until(calls.exists, "the study ended")
    (name, names), = directories(output).items()
    assert calls.read_text() == f"{output}/{name} 40\n"
    assert names == [f"CT{number:06d}" for number in range(1, 41)]


def test_coordinator_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    output, calls = tmp_path / "out", tmp_path / "calls"
    output.mkdir()
    options = ["-od", output, "-su", "P", "-rns", "-tos", "2", "-xcs", f"echo #p >>{calls}", *BASE]
    with FastscpServer(options) as server:
        done = threading.Event()

        def kill() -> None:
            for _ in range(2):
                reached = len(os.listdir(output)) + 25
                wait_until(lambda reached=reached: len(os.listdir(output)) >= reached or done.is_set(), "some studies")
                if done.is_set():
                    return
                wait_until(lambda: server.role("coordinator"), "a coordinator")
                for process in server.role("coordinator"):
                    try:
                        process.kill()
                    except psutil.NoSuchProcess:
                        continue

        killer = threading.Thread(target=kill)
        killer.start()
        acknowledged = send_load(server.port, repeat=True)
        done.set()
        killer.join(60)
        assert sum(map(len, acknowledged)) == STUDIES * OBJECTS
        wait_until(lambda: calls.exists() and len(set(calls.read_text().split())) >= STUDIES, "every study ended")
        assert b"coordinator ended (signal SIGKILL)" in server.log()
        server.stop()
    found = directories(output)
    assert set(calls.read_text().split()) == {f"{output}/{study_uid(number)}".replace("out/", "out/P_")
                                              for number in range(STUDIES)}
    assert all(names == [f"CT{number:06d}" for number in range(1, OBJECTS + 1)] for names in found.values())


def test_everything_killed_studies_end_after_the_restart(tmp_path: Path) -> None:
    output, calls = tmp_path / "out", tmp_path / "calls"
    output.mkdir()
    options = ["-od", output, "-ss", "P", "-rns", "-xcs", f"echo #p $FASTSCP_OBJECTS >>{calls}", *BASE]
    with FastscpServer(options) as server:
        send_all(server.port, [("1.2.3.1", "1.2.4.1"), ("1.2.3.1", "1.2.4.2")])
        server.kill()
    with FastscpServer([*options, "-tos", "1"]) as server:
        wait_until(calls.exists, "the study of the earlier life ended")
        assert server.stop() == 0
    (name, names), = directories(output).items()
    assert names == ["CT000001", "CT000002"]
    # once, or twice when the coordinator saw the acceptor process die and began the hook before it died itself
    assert set(calls.read_text().splitlines()) == {f"{output}/{name} 2"}


def test_drain_ends_open_studies_and_runs_their_hooks(tmp_path: Path) -> None:
    output, calls = tmp_path / "out", tmp_path / "calls"
    output.mkdir()
    with FastscpServer(["-od", output, "-su", "", "-xcs", f"echo #p $FASTSCP_REASON >>{calls}", *BASE]) as server:
        send_all(server.port, [("1.2.3.1", "1.2.4.1")])
        assert server.stop() == 0
    assert calls.read_text() == f"{output}/1.2.3.1 shutdown\n"
