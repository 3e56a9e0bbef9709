"""What killed processes leave behind is removed, wherever it is, and what living ones have under way is not touched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until


class CrippledServer(FastscpServer):
    """fastscp on a system that cannot do something."""

    def __init__(self, faults: str, arguments: list[str | Path]) -> None:
        super().__init__(arguments)
        self._faults = faults

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.crippled", self._faults]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def hidden(directory: Path) -> set[str]:
    return {name for name in os.listdir(directory) if name.startswith(".fastscp-")}


class Half:
    """An object of which one half was sent."""

    def __init__(self, port: int, study: str = "1.2.3.4") -> None:
        self.uid = fresh_uid()
        self._scu = RawSCU("127.0.0.1", port)
        self._scu.associate(CT_CONTEXT)
        self._content = data_set(self.uid, study=study)
        self._scu.send(p_data(pdv(1, 3, c_store_rq(CT, self.uid))) + p_data(pdv(1, 0, self._content[:200])))

    def finish(self) -> int | None:
        """Send the rest; return the status, None when the association is gone."""
        try:
            self.send_rest()
            return self._scu.read_status()
        except (Aborted, OSError):
            return None

    def send_rest(self) -> None:
        self._scu.send(p_data(pdv(1, 2, self._content[200:])))


def finished(halves: list[Half]) -> set[str]:
    """Finish them; return the names of those that were answered with success."""
    return {f"CT.{half.uid}" for half in halves if half.finish() == 0}


@pytest.mark.parametrize("faults", ["anonymous", "anonymous,links"])
@pytest.mark.parametrize("sorting", [[], ["-su", "S"]], ids=["plain", "sorted"])
def test_leftovers_of_a_killed_worker_go_with_its_replacement_and_those_of_others_stay(
        output: Path, faults: str, sorting: list[str | Path]) -> None:
    with CrippledServer(faults, ["-od", output, "--workers", "2", "-dhl", *sorting]) as server:
        halves = [Half(server.port) for _ in range(8)]
        wait_until(lambda: len(hidden(output)) == 8, "eight objects under way")
        victim = server.role("worker")[0]
        victim.kill()
        wait_until(lambda: len(hidden(output)) == 4, "those of the dead worker are gone")
        stored = finished(halves)
        assert len(stored) == 4
        assert hidden(output) == set()
        assert {path.name for path in output.rglob("CT.*")} == stored
        more = [Half(server.port) for _ in range(4)]
        assert len(finished(more)) == 4


@pytest.mark.parametrize("again", ["the same system", "one with anonymous files"])
def test_leftovers_of_a_service_that_was_killed_go_at_the_next_start(output: Path, tmp_path: Path, again: str) -> None:
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    arguments: list[str | Path] = ["-od", output, "--workers", "2", "--quarantine", quarantine]
    with CrippledServer("anonymous", arguments) as server:
        halves = [Half(server.port) for _ in range(4)]
        wait_until(lambda: len(hidden(output)) == len(halves), "four objects under way")
        server.kill()
    assert len(hidden(output)) == 4
    (quarantine / ".fastscp-0a-1.keep").write_text("CT.X.1")
    (quarantine / "CT.X.1.json").write_text("{}")
    (quarantine / ".fastscp-0a-2.tmp").write_text("")
    with CrippledServer("anonymous" if again == "the same system" else "links", arguments):
        assert hidden(output) == set()
        assert os.listdir(quarantine) == []


def test_second_service_on_the_same_directory_touches_nothing_of_the_first(output: Path) -> None:
    """Also when it begins or ends, and when its workers die, while the first has objects under way."""
    with CrippledServer("anonymous", ["-od", output, "--workers", "1"]) as first:
        halves = [Half(first.port) for _ in range(3)]
        wait_until(lambda: len(hidden(output)) == 3, "three objects under way")
        with CrippledServer("anonymous", ["-od", output, "--workers", "1"]) as second:
            assert len(hidden(output)) == 3
            other = Half(second.port)
            wait_until(lambda: len(hidden(output)) == 4, "an object of the other")
            second.role("worker")[0].kill()
            wait_until(lambda: len(hidden(output)) == 3, "its successor has tidied up")
            assert other.finish() is None
        assert finished(halves) == {f"CT.{half.uid}" for half in halves}
    assert hidden(output) == set()


@pytest.mark.parametrize("when", ["worker", "service"])
def test_copy_to_another_file_system_is_found_by_its_note(output: Path, when: str) -> None:
    arguments: list[str | Path] = ["-od", output, "--workers", "1", "-su", "S", "--hang-timeout", "0"]
    study = output / "S_1.2.3.4"
    with CrippledServer("foreign,stuck", arguments) as server:
        half = Half(server.port)
        half.send_rest()
        wait_until(lambda: study.exists() and hidden(study), "the copy is being made")
        assert [Path(name).suffix for name in hidden(output)] == [".copy"]
        if when == "worker":
            server.role("worker")[0].kill()
            wait_until(lambda: not hidden(study) and not hidden(output), "copy and note are gone")
        server.kill()
    with CrippledServer("foreign", arguments) as server:
        assert hidden(output) == hidden(study) == set()
        assert Half(server.port).finish() == 0
        assert len(list(study.iterdir())) == 1
        assert hidden(output) == set()


def test_association_from_a_super_server_removes_what_others_left(output: Path) -> None:
    (output / ".fastscp-0a-1.tmp").write_text("left")
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    process = subprocess.Popen([sys.executable, "-m", "fastscp", "--inetd", "-od", str(output)], stdin=accepted.fileno(),
                               cwd=Path(__file__).parents[2])
    accepted.close()
    client.close()
    listener.close()
    process.wait(60)
    assert hidden(output) == set()
