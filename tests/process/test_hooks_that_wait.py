"""Hooks that cannot run now: for want of a process, of a consumer, of time before the end, of a host name."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fastscp.study.policy import HookPolicy
from tests.support.coordination import CoordinatorProcess, configuration
from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, Server, wait_until

#: the service in a process whose name server answers when there is a file, and until then never
WITHOUT_NAME_SERVER = """
import os, socket, sys, time
import fastscp.acceptor.resolver, fastscp.coordinator.host_names
fastscp.acceptor.resolver._TIME_LIMIT_S = fastscp.coordinator.host_names.PATIENCE_S = 3600.0

def answer(*_):
    while not os.path.exists("gate"):
        time.sleep(0.01)
    return "pacs.example", "0"

socket.getnameinfo = answer
socket.getaddrinfo = lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 0))]
from fastscp.cli.main import main
sys.exit(main(["fastscp", *sys.argv[1:]]))
"""


class ServerWithoutNames(FastscpServer):
    def command(self) -> list[str]:
        return [sys.executable, "-c", WITHOUT_NAME_SERVER]


class UserServer(FastscpServer):
    """Runs as an ordinary user, whose processes can be limited."""

    def command(self) -> list[str]:
        return [*super().command(), *(["--user", "nobody"] if os.geteuid() == 0 else [])]

    def wait_ready(self) -> None:
        for path, mode in ((self._notify_directory, 0o755), (f"{self._notify_directory}/notify", 0o666)):
            os.chmod(path, mode)
        super().wait_ready()


def limit_processes(process: psutil.Process, limit: int) -> None:
    """Set how many processes a process's user may have for it to start another; only that user may."""
    user = {"user": process.uids().real, "group": process.gids().real, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(["prlimit", "--pid", str(process.pid), f"--nproc={'unlimited' if limit < 0 else limit}:"], check=True, **user)


def lines(path: Path) -> list[str]:
    """Return the complete lines of a file that hooks append to."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def send(server: Server, numbers: range, study: str = "1.2") -> None:
    """Send objects over one association; every one is answered with success."""
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        for number in numbers:
            assert scu.store(1, CT, f"1.2.{number}", data_set(f"1.2.{number}", study=study, pixels=16)) == 0
        scu.release()


def files(numbers: range) -> list[str]:
    return sorted(f"CT.1.2.{number}" for number in numbers)


def studies(*words: str | Path) -> str:
    done = subprocess.run([sys.executable, "-m", "fastscp.cli.studies", *map(str, words)], capture_output=True, text=True,
                          check=True, timeout=60)
    return done.stdout


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can get to and write."""
    path = Path(tempfile.mkdtemp(prefix="fastscp-"))
    (path / "out").mkdir()
    for directory in (path, path / "out"):
        directory.chmod(0o777)
    yield path
    shutil.rmtree(path)


# -- nothing to start them with -----------------------------------------------------------------------


@pytest.mark.parametrize("sorting", [[], ["-su", "S", "-xcs", "echo end >>CALLS"]])
def test_hooks_that_find_no_process_run_as_soon_as_there_is_one(public: Path, sorting: list[str]) -> None:
    calls = public / "calls"
    calls.touch(0o666)
    calls.chmod(0o666)
    words = [word.replace("CALLS", str(calls)) for word in sorting]
    with UserServer(["-od", public / "out", *words, "-dhl", "-xcr", f"echo #f >>{calls}"]) as server:
        coordinator, = server.role("coordinator")
        limit_processes(coordinator, 0)
        send(server, range(30))
        wait_until(lambda: b"cannot be started now: Resource temporarily unavailable" in server.log(), "a start failed")
        assert lines(calls) == []
        limit_processes(coordinator, resource.getrlimit(resource.RLIMIT_NPROC)[1])
        wait_until(lambda: len(lines(calls)) == 30, "every hook ran")
        assert server.stop() == 0
    told = lines(calls)
    assert sorted(told[:30]) == files(range(30))
    if sorting:
        assert told[:30] == [f"CT.1.2.{number}" for number in range(30)]
        assert told[30:] == ["end"]


def test_program_that_is_being_replaced_is_waited_for(output: Path, tmp_path: Path) -> None:
    program, calls = tmp_path / "program", tmp_path / "calls"
    shutil.copy("/usr/bin/touch", program)
    hooks = HookPolicy(on_reception=f"{program} {calls}.#f", argv=True)
    with CoordinatorProcess(configuration(output, hooks=hooks)) as process, program.open("r+b"):
        worker = process.worker()
        worker.open("a")
        for number in (1, 2):
            worker.tell_stored("a", "1.2", f"CT.{number}", str(output), None)
        assert [worker.hear()["event"] for _ in range(2)] == [1, 2]  # they wait in the state
        assert not list(tmp_path.glob("calls.*"))
    with CoordinatorProcess(configuration(output, hooks=hooks)) as process:  # finds what that one kept
        wait_until(lambda: len(list(tmp_path.glob("calls.*"))) == 2, "both ran")
        assert process.drain() == 0


# -- the end before them ------------------------------------------------------------------------------


def test_no_hook_is_lost_when_the_service_ends_before_it_had_its_turn(output: Path, tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    options = ["-od", output, "-dhl", "--drain-timeout", "1", "--hook-jobs", "2", "-xcr",
               f"until test -e {gate}; do sleep 0.05; done; echo #f >>{calls}"]
    with FastscpServer(options) as server:
        send(server, range(60))
        assert server.stop() == 0
        assert b"60 hooks have not ended, they run at the next start" in server.log()
    gate.touch()
    with FastscpServer(options) as server:
        wait_until(lambda: set(lines(calls)) == set(files(range(60))), "every hook ran")
        assert server.stop() == 0
    assert len(lines(calls)) <= 62  # those that were running at the end ran again


def test_hooks_that_wait_outlive_every_process(output: Path, tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    options = ["-od", output, "-dhl", "--hook-jobs", "1", "-xcr",
               f"until test -e {gate}; do sleep 0.05; done; echo #f >>{calls}"]
    with FastscpServer(options) as server:
        send(server, range(10))
        # the answers leave before: the last hook is safe when it is in the state
        wait_until(lambda: _kept(output) == 9, "nine hooks wait in the state")
        server.kill()
    gate.touch()
    with FastscpServer(options) as server:
        wait_until(lambda: set(lines(calls)) >= set(files(range(1, 10))), "every hook that waited ran")
        assert server.stop() == 0


def _kept(output: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{output}/.fastscp/state.sqlite3?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM tasks").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_death_of_the_coordinator_repeats_hooks_but_loses_none(output: Path, tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    options = ["-od", output, "-dhl", "--hook-jobs", "2", "-xcr",
               f"until test -e {gate}; do sleep 0.05; done; echo #f >>{calls}"]
    with FastscpServer(options) as server:
        send(server, range(10))
        first, = server.role("coordinator")
        first.kill()
        wait_until(lambda: [p for p in server.role("coordinator") if p.pid != first.pid], "another coordinator")
        send(server, range(10, 20))
        gate.touch()
        wait_until(lambda: set(lines(calls)) == set(files(range(20))), "every hook ran")
        assert server.stop() == 0


def test_nothing_is_kept_on_disk_while_no_hook_waits_or_fails(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with FastscpServer(["-od", output, "-dhl", "-xcr", f"echo #f >>{calls}"]) as server:
        [coordinator] = server.role("coordinator")
        for number in range(3):
            send(server, range(number, number + 1))
            expected = files(range(number + 1))
            wait_until(lambda: lines(calls) == expected, "its hook runs")  # noqa: B023 - called in this turn
            wait_until(lambda: not coordinator.children(), "it has ended: the next one would wait for it")
        assert server.stop() == 0
    assert sorted(os.listdir(output)) == files(range(3))


def test_two_services_of_one_output_directory_run_their_hooks(output: Path, tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    options = ["-od", output, "-dhl", "--hook-jobs", "1", "-xcr",
               f"until test -e {gate}; do sleep 0.05; done; echo #f >>{calls}"]
    with FastscpServer(options) as one, FastscpServer(options) as two:
        send(one, range(5))
        wait_until(lambda: _kept(output) == 4, "the first has the state")
        send(two, range(5, 10))
        wait_until(lambda: b"kept in memory only" in two.log(), "the second says so")
        gate.touch()
        wait_until(lambda: sorted(lines(calls)) == files(range(10)), "every hook ran")


# -- what fails ---------------------------------------------------------------------------------------


def test_hook_that_fails_is_executed_again_as_often_as_asked_for(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    hook = f"echo #f >>{calls}; test $(grep -c #f {calls}) = 3".replace("$(grep -c #f", '$(grep -c "$FASTSCP_FILE"')
    with FastscpServer(["-od", output, "-dhl", "--hook-retries", "2", "-xcr", hook]) as server:
        send(server, range(2))
        wait_until(lambda: len(lines(calls)) == 6, "three attempts each")
        assert server.stop() == 0
    assert studies("failed", "-od", output, "--json") == ""


@pytest.mark.parametrize("sorting", [[], ["-su", "S"]])
def test_what_failed_for_good_is_listed_retried_and_forgotten(output: Path, tmp_path: Path, sorting: list[str]) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    options = ["-od", output, "-dhl", *sorting, "-xcr", f"test -e {gate} && echo #f >>{calls}"]

    def failed() -> list[dict[str, object]]:
        return [json.loads(line) for line in studies("failed", "-od", output, "--json").splitlines()]

    with FastscpServer(options) as server:
        send(server, range(3))
        wait_until(lambda: len(failed()) == 3, "three hooks failed")
        first, second, third = failed()
        assert (first["status"], first["study_uid"], first["attempts"]) == (1, "1.2", 1)
        assert first["command"] == f"test -e {gate} && echo 'CT.1.2.0' >>{calls}"
        gate.touch()
        assert studies("retry", str(first["number"]), "-od", output) == "1 hook will be executed again within seconds\n"
        wait_until(lambda: lines(calls) == ["CT.1.2.0"], "the hook ran")
        wait_until(lambda: len(failed()) == 2, "it is listed no more")
        assert server.stop() == 0
    assert [hook["number"] for hook in failed()] == [second["number"], third["number"]]
    assert "next start" in studies("retry", str(third["number"]), "-od", output)
    assert "next start" in studies("forget", str(second["number"]), "-od", output)
    with FastscpServer(options) as server:
        wait_until(lambda: lines(calls) == ["CT.1.2.0", "CT.1.2.2"], "the other ran")
        assert server.stop() == 0
    assert failed() == []
    assert not list((output / ".fastscp").glob("request*"))


def test_end_of_the_service_does_not_wait_for_retries(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    hooks = HookPolicy(on_reception=f"echo #f >>{calls}; false", retries=30)
    configured = configuration(output, hooks=hooks)
    with CoordinatorProcess(configured) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.2", "CT.1", str(output), None)
        assert worker.hear() == {"kind": "ack", "first": 1, "event": 1}
        wait_until(lambda: lines(calls), "the first attempt")
        assert process.drain() == 0
    before = len(lines(calls))
    with CoordinatorProcess(configured):
        wait_until(lambda: len(lines(calls)) > before, "it is retried at the next start")


def test_open_studies_of_a_running_service(output: Path) -> None:
    with FastscpServer(["-od", output, "-dhl", "-su", "S"]) as server:
        send(server, range(2), study="1.2.77")
        study = json.loads(studies("open", "-od", output, "--json"))
        assert (study["study_uid"], study["directory"], study["objects"]) == ("1.2.77", f"{output}/S_1.2.77", 2)
        assert study["last"] >= study["since"]
        assert server.stop() == 0
    assert studies("open", "-od", output, "--json") == ""


# -- host names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sorting", [[], ["-su", "S"]])
def test_hook_waits_for_a_silent_name_server_and_nobody_else_does(tmp_path: Path, output: Path, sorting: list[str]) -> None:
    calls = tmp_path / "calls"
    options = ["-od", output, *sorting, "-xcr", f"echo '#r' \"$FASTSCP_PEER\" #f >>{calls}"]
    with ServerWithoutNames(options, cwd=tmp_path) as server:
        send(server, range(5))
        send(server, range(5, 10))
        assert lines(calls) == []
        (tmp_path / "gate").touch()
        wait_until(lambda: len(lines(calls)) == 10, "every hook ran")
        send(server, range(10, 12))
        wait_until(lambda: len(lines(calls)) == 12, "every hook ran")
        assert server.stop() == 0
    assert sorted(lines(calls)) == sorted(f"pacs.example pacs.example CT.1.2.{number}" for number in range(12))


def test_hook_that_wants_no_name_waits_for_none(tmp_path: Path, output: Path) -> None:
    calls = tmp_path / "calls"
    with ServerWithoutNames(["-od", output, "-v", "-xcr", f"echo #f >>{calls}"], cwd=tmp_path) as server:
        send(server, range(3))
        wait_until(lambda: len(lines(calls)) == 3, "every hook ran")
        assert server.role("resolver")  # for the log
        (tmp_path / "gate").touch()
        assert server.stop() == 0


def test_hook_of_one_association_from_inetd_gets_the_name(tmp_path: Path, output: Path) -> None:
    calls = tmp_path / "calls"
    command = [sys.executable, "-c", WITHOUT_NAME_SERVER, "--inetd", "-od", str(output), "-xcr", f"echo #r #f >>{calls}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with RawSCU(*listener.getsockname()) as scu:
            accepted, _ = listener.accept()
            process = subprocess.Popen(command, stdin=accepted, cwd=tmp_path, env=environment)
            accepted.close()
            scu.associate(CT_CONTEXT)
            assert scu.store(1, CT, "1.2.1", data_set("1.2.1", pixels=16)) == 0
            scu.release()
        (tmp_path / "gate").touch()
        assert process.wait(60) == 0
    assert lines(calls) == ["pacs.example CT.1.2.1"]


def test_rule_that_needs_a_name_waits_for_it(tmp_path: Path, output: Path) -> None:
    for table, text in (("allow", "ALL: .example\n"), ("deny", "ALL: ALL\n")):
        (tmp_path / table).write_text(text)
    options = ["-od", output, "+ac", "--hosts-allow", tmp_path / "allow", "--hosts-deny", tmp_path / "deny"]
    with ServerWithoutNames(options, cwd=tmp_path) as server, RawSCU("127.0.0.1", server.port) as scu:
        wait_until(lambda: server.role("resolver"), "the name is looked up")
        (tmp_path / "gate").touch()
        scu.associate(CT_CONTEXT)
        scu.release()


@pytest.mark.parametrize("kill", [lambda process: process.kill(), lambda process: process.send_signal(signal.SIGTERM)])
def test_death_of_the_resolver_costs_the_name_and_no_hook(
        tmp_path: Path, output: Path, kill: Callable[[psutil.Process], None]) -> None:
    calls = tmp_path / "calls"
    with ServerWithoutNames(["-od", output, "-xcr", f"echo #r #f >>{calls}"], cwd=tmp_path) as server:
        send(server, range(2))
        resolver, = server.role("resolver")
        kill(resolver)
        wait_until(lambda: sorted(lines(calls)) == ["127.0.0.1 CT.1.2.0", "127.0.0.1 CT.1.2.1"], "every hook ran")
        (tmp_path / "gate").touch()
        assert server.stop() == 0
