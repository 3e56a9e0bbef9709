"""``fastscp.Receiver`` with real clients: what callbacks are told, how it begins and ends, and that nobody waits for a callback."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

import fastscp
from fastscp import Receiver
from fastscp.dicom import filemeta
from fastscp.errors import ProcessError
from tests.support import objects
from tests.support.rawscu import RawSCU
from tests.support.servers import free_port, wait_until

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).parents[2]


def write_object(path: Path, uid: str) -> Path:
    path.write_bytes(filemeta.encode(objects.CT.encode(), uid.encode(), objects.EXPLICIT_LE, b"") + objects.data_set(uid))
    return path


def send(port: int, *paths: Path) -> int:
    return subprocess.run(["storescu", "--no-halt", "-aet", "CT1", "-aec", "GATEWAY", "127.0.0.1", str(port), *map(str, paths)], capture_output=True,
                          check=False, timeout=100).returncode


def titles(receiver: Receiver) -> dict[int, str]:
    """Return what ps(1) shows, by process."""
    shown = {}
    for process in family(receiver):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            shown[process.pid] = " ".join(process.cmdline())
    return shown


def coordinators(receiver: Receiver) -> set[int]:
    return {pid for pid, title in titles(receiver).items() if "coordinator" in title}


def family(receiver: Receiver) -> list[psutil.Process]:
    parent = psutil.Process(receiver.pid)
    return [parent, *parent.children(recursive=True)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_callbacks_are_told_of_objects_studies_and_refusals(out, tmp_path):
    stored, studies, refused, threads = [], [], [], set()

    def on_object(one):
        assert one.path.is_file()
        assert one.path.stat().st_size == one.size
        threads.add(threading.current_thread().name)
        stored.append(one)

    uids = [objects.fresh_uid() for _ in range(3)]
    with Receiver(port=0, output_directory=out, sort_on_study_uid="st", workers=2, aetitle="GATEWAY", require_called_aet=True, on_object=on_object,
                  on_study=studies.append, on_refused=refused.append) as receiver:
        assert subprocess.run(["echoscu", "-aec", "GATEWAY", "127.0.0.1", str(receiver.port)], check=False).returncode == 0
        assert subprocess.run(["echoscu", "-aec", "OTHER", "127.0.0.1", str(receiver.port)], check=False, capture_output=True).returncode
        assert send(receiver.port, *(write_object(tmp_path / f"{number}.dcm", uid) for number, uid in enumerate(uids))) == 0
        assert receiver.running
        assert receiver.pid != os.getpid()
    assert not receiver.running
    assert [one.sop_instance_uid for one in stored] == uids
    assert threads == {"fastscp-callbacks"}
    assert {(one.calling_aet, one.called_aet, one.peer, one.study_uid, one.modality) for one in stored} == {("CT1", "GATEWAY", "127.0.0.1", "1.2.3.4", "CT")}
    (study,) = studies
    assert (study.study_uid, study.revision, study.reason) == ("1.2.3.4", 1, "shutdown")
    assert study.directory.parent == out
    assert [one.sop_instance_uid for one in study.objects] == uids
    assert all(one.path.is_file() for one in study.objects)
    assert [(one.kind, one.called_aet) for one in refused] == [("association", "OTHER")]
    assert receiver.dropped == 0


def test_a_refused_object_is_told_with_its_reason(out):
    refused = []
    uid = objects.fresh_uid()
    dataset = objects.data_set(uid)[:-100]  # the last value is not whole
    with Receiver(port=0, output_directory=out, workers=1, on_refused=refused.append) as receiver, RawSCU("127.0.0.1", receiver.port) as scu:
        scu.associate(objects.CT_CONTEXT)
        assert scu.store(1, objects.CT, uid, dataset) == 0xC000
        scu.release()
    (one,) = refused
    assert (one.kind, one.status, one.sop_instance_uid, one.path) == ("object", 0xC000, uid, None)
    assert one.reason


def test_leaving_the_block_drains(out, tmp_path):
    """What was sent before is told of, however late its callback comes."""
    told, go_on = [], threading.Event()

    def slow(one):
        go_on.wait(60)
        told.append(one.sop_instance_uid)

    paths = [write_object(tmp_path / f"{number}.dcm", objects.fresh_uid()) for number in range(20)]
    with Receiver(port=0, output_directory=out, workers=1, on_object=slow) as receiver:
        assert send(receiver.port, *paths) == 0
        assert told == []  # nobody waited for the callback
        processes = family(receiver)
        go_on.set()
    assert len(told) == 20
    assert not any(process.is_running() for process in processes)


def test_an_exception_in_a_callback_ends_nothing(out, tmp_path, caplog):
    def fail(_one):
        raise LookupError("no such patient")

    with Receiver(port=0, output_directory=out, workers=1, on_object=fail) as receiver:
        for number in range(2):
            assert send(receiver.port, write_object(tmp_path / f"{number}.dcm", objects.fresh_uid())) == 0
    assert [record.exc_info[1].args for record in caplog.records if record.name == "fastscp"] == [("no such patient",)] * 2
    assert len(list(out.glob("CT.*"))) == 2


def test_a_coordinator_that_dies_does_not_end_the_events(out, tmp_path):
    told = []
    with Receiver(port=0, output_directory=out, workers=1, on_object=lambda one: told.append(one.sop_instance_uid)) as receiver:
        assert send(receiver.port, write_object(tmp_path / "1.dcm", objects.fresh_uid())) == 0
        wait_until(lambda: told, "the first")
        first, = coordinators(receiver)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: coordinators(receiver) - {first}, "another")
        uid = objects.fresh_uid()
        assert send(receiver.port, write_object(tmp_path / "2.dcm", uid)) == 0
        wait_until(lambda: uid in told, "the second")


def test_the_service_outlives_its_program_only_to_drain(out):
    """Killed, the program cannot say goodbye."""
    script = (f"import sys, time\nfrom fastscp import Receiver\nreceiver = Receiver(port=0, output_directory={str(out)!r}, workers=1)\n"
              "receiver.start()\nprint(receiver.pid, flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as program:
        pid = int(program.stdout.readline())
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        assert len(processes) >= 3
        program.kill()
        program.wait()
    wait_until(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes), "all have ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_receives_until_a_signal(out, tmp_path, number):
    script = ("import sys, threading\nfrom fastscp import Receiver\n"
              "def on_object(one):\n    print(one.path.name, threading.current_thread() is threading.main_thread(), flush=True)\n"
              f"receiver = Receiver(port=int(sys.argv[1]), output_directory={str(out)!r}, workers=1, on_object=on_object, verbose=True)\n"
              "receiver.run()\nprint('ended', receiver.running, flush=True)\n")
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", script, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert any("listening on" in line for line in iter(program.stderr.readline, ""))
        uid = objects.fresh_uid()
        wait_until(lambda: send(port, write_object(tmp_path / "1.dcm", uid)) == 0, "stored")
        assert program.stdout.readline() == f"CT.{uid} True\n"
        program.send_signal(number)
        rest, _ = program.communicate(timeout=60)
    assert rest == "ended False\n"
    assert program.returncode == 0


def test_a_callback_may_end_the_service(out, tmp_path):
    told = []

    def enough(one):
        told.append(one)
        receiver.stop()

    receiver = Receiver(port=0, output_directory=out, workers=1, on_object=enough)
    receiver.start()
    assert send(receiver.port, write_object(tmp_path / "1.dcm", objects.fresh_uid())) == 0
    receiver.stop()
    assert len(told) == 1
    assert not receiver.running


def test_what_a_callback_of_run_raises_beyond_exceptions_drains_and_comes_out(out, tmp_path):
    def leave(_one):
        raise SystemExit(5)

    receiver = Receiver(port=0, output_directory=out, workers=1, on_object=leave)
    sender = threading.Thread(target=lambda: (wait_until(lambda: receiver._port, "port"),
                                              send(receiver.port, write_object(tmp_path / "1.dcm", objects.fresh_uid()))))
    sender.start()
    with pytest.raises(SystemExit, match="5"):
        receiver.run()
    sender.join()
    assert not receiver.running


def test_a_receiver_is_started_once(out):
    receiver = Receiver(port=0, output_directory=out, workers=1)
    for attempt in (lambda: receiver.port, lambda: receiver.pid, receiver.stop, receiver.reload):
        with pytest.raises(RuntimeError, match="not started"):
            attempt()
    with receiver:
        receiver.reload()
    with pytest.raises(RuntimeError, match="started once"):
        receiver.run()
    receiver.stop()


def test_at_once_is_at_once(out):
    receiver = Receiver(port=0, output_directory=out, workers=1, drain_timeout=100)
    receiver.start()
    with socket.create_connection(("127.0.0.1", receiver.port)):
        receiver.stop(at_once=True)
    assert not receiver.running


def test_a_service_that_is_killed_is_told(out):
    receiver = Receiver(port=0, output_directory=out, workers=1)
    receiver.start()
    for process in family(receiver):
        process.kill()
    wait_until(lambda: not receiver.running, "its end is known")
    with pytest.raises(ProcessError, match="ended with status -9"):
        receiver.stop()


def test_what_cannot_start_says_why(out):
    with Receiver(port=0, output_directory=out, workers=1) as receiver, pytest.raises(ProcessError, match="service did not start: cannot listen on port"):
        Receiver(port=receiver.port, output_directory=out).start()
    # the coordinator's own trouble is in the log
    (out / "file").touch()
    with pytest.raises(ProcessError, match="its log says why"):
        Receiver(port=0, output_directory=out, sort_on_study_uid="s", state_dir=out / "file" / "x").start()


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"port": 11112, "max_pud": 1}, TypeError, "max_pud: unknown option; did you mean max_pdu?"),
    ({}, TypeError, "port: it is missing"),
    ({"port": "11112"}, TypeError, "port: an int is wanted, not str"),
    ({"port": 65536}, ValueError, "port: 65536 is not between 0 and 65535"),
    ({"port": -1}, ValueError, "port: -1 is not between"),
    ({"port": 0, "max_pdu": 3}, ValueError, r"Invalid value for option max_pdu \(underflow: 3\)"),
    ({"port": 0, "verbose_pc": True, "log_level": "warn"}, ValueError, "verbose_pc only allowed with verbose mode"),
    ({"port": 0, "sync": "always"}, ValueError, r"Invalid value for option sync \(always\)"),
    ({"port": 0, "eostudy_timeout": 3}, ValueError, "eostudy_timeout only allowed with sort_conc_studies, sort_on_study_uid"),
    ({"port": 0, "output_directory": "/nowhere/at/all"}, ValueError, "specified output directory does not exist"),
    ({"port": 0, "config": "/nowhere.toml"}, ValueError, "/nowhere.toml: cannot be read"),
    ({"port": 0, "on_object": "print"}, TypeError, "on_object: something that can be called is wanted, not str"),
])
def test_mistakes_are_raised_at_once(options, kind, message):
    with pytest.raises(kind, match=message):
        Receiver(**options)


def test_a_configuration_file_and_its_port(out, tmp_path):
    (tmp_path / "f.toml").write_text(f'port = 1\noutput-directory = "{out}"\nworkers = 1\nignore = true\n')
    with Receiver(config=tmp_path / "f.toml", port=0, ignore=False) as receiver:
        assert send(receiver.port, write_object(tmp_path / "1.dcm", objects.fresh_uid())) == 0
        receiver.reload()
    assert len(list(out.glob("CT.*"))) == 1


def test_the_service_is_no_part_of_the_terminal_of_its_program(out):
    with Receiver(port=0, output_directory=out, workers=1) as receiver:
        assert os.getsid(receiver.pid) == receiver.pid
        assert psutil.Process(receiver.pid).terminal() is None
        assert os.readlink(f"/proc/{receiver.pid}/fd/0") == os.devnull


def test_options_with_secrets_are_not_on_a_command_line(out):
    with Receiver(port=0, output_directory=out, workers=1, aetitle="SECRETTITLE") as receiver:
        assert not any("SECRETTITLE" in title for title in titles(receiver).values())


def test_importing_fastscp_imports_nothing_else():
    """Programs in the field ask for the version before each start."""
    script = "import sys, fastscp\nprint(sorted(name for name in sys.modules if name.startswith('fastscp')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['fastscp', 'fastscp.lazy']"


def test_public_names_are_there():
    for module in ("fastscp", "fastscp.dicom", "fastscp.ul", "fastscp.dimse"):
        package = __import__(module, fromlist=["x"])
        assert package.__all__ == sorted(package.__all__)
        assert all(getattr(package, name) is not None for name in package.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            package.nothing  # noqa: B018
    assert fastscp.Receiver is Receiver


def test_public_names_are_in_the_reference():
    """It is made of ``__all__``, package by package."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. public:: (\S+)$", page, flags=re.MULTILINE)) >= {"fastscp", "fastscp.dicom", "fastscp.ul", "fastscp.dimse"}
