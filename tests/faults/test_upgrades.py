"""SIGUSR2: another program takes over while senders send, whatever happens to either of the two meanwhile."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import associated, store_one
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.pki import Authority
from tests.support.rawscu import Aborted, RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import wait_until
from tests.support.upgrades import Steady, UpgradableServer

SORTED = ["-v", "--workers", "2", "-dhl", "-su", "study", "-tos", "600"]


class Site:
    """An output directory, and what hooks wrote down."""

    def __init__(self, directory: Path) -> None:
        self.output, self.ran, self.ended = directory / "output", directory / "ran", directory / "ended"
        self.output.mkdir()
        self.ran.touch()
        self.ended.touch()
        self.options: list[str | Path] = [
            *SORTED, "-od", self.output, "-xcr", f"echo '#f' >> {self.ran}", "--exec-on-eostudy", f"echo '#p' >> {self.ended}"]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.output.rglob("CT.*"))

    def hooks(self) -> list[str]:
        return sorted(self.ran.read_text().split())

    def studies(self) -> list[str]:
        return self.ended.read_text().split()

    def expect(self, stored: list[str], *, killed: bool = False) -> None:
        """Everything that was acknowledged is there, nothing else is, and each hook ran once; one that ran when its process was ``killed`` may run again."""
        assert self.files() == sorted(stored)
        assert (sorted(set(self.hooks())) if killed else self.hooks()) == sorted(stored)
        assert len(self.studies()) == 1


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def store(scu: RawSCU) -> str:
    """Store an object on an open association; return the name of its file."""
    uid = fresh_uid()
    assert scu.store(1, CT, uid, data_set(uid)) == 0
    return f"CT.{uid}"


def ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def newcomers(old: psutil.Process) -> list[psutil.Process]:
    """Return the children that are not named yet."""
    return [child for child in old.children() if "fastscp:" not in " ".join(child.cmdline())]


def test_another_program_takes_over_and_nobody_notices(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        idle, busy = associated(server.port), associated(server.port)
        sender = Steady(server.port)
        sender.start()
        sender.progress(5)
        old = server.acceptors()[0]
        new = server.upgraded()
        sender.progress(5)
        sender.stored.append(store(busy))
        assert idle.echo(5) == 0
        assert not ended(old)
        idle.release()
        busy.release()
        wait_until(lambda: ended(old), "the old one ends with its last association")
        assert server.process is not None
        assert server.process.wait(10) == 0
        sender.progress(5)
        third = server.upgraded()
        assert server.acceptors() == [third] or new in server.acceptors()
        sender.progress(5)
        sender.finish()
    site.expect(sender.stored)


def test_service_manager_is_told_whom_it_manages(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        old = server.acceptors()[0]
        new = server.upgraded()
        told = [(pid, [line for line in lines if not line.startswith(("STATUS", "MONOTONIC"))]) for pid, lines in server.told]
        assert told == [
            (old.pid, ["READY=1", f"MAINPID={old.pid}"]),
            (old.pid, ["RELOADING=1"]),
            (old.pid, [f"MAINPID={new.pid}"]),  # only the main process is believed, and it is the old one until here
            (new.pid, ["READY=1", f"MAINPID={new.pid}"]),
        ]
        wait_until(lambda: ended(old), "the old one ends")
        assert server.stop() == 0
        server.heard("")
        assert [entry for entry in server.told[4:] if "STOPPING=1" in entry[1]] == [(new.pid, ["STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000"])]


class SteadyOverTLS(Steady):
    """Sends over TLS."""

    def __init__(self, port: int, authority: Path) -> None:
        super().__init__(port)
        self._port_of_tls = port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.check_hostname = False

    def send(self) -> str:
        with RawSCU("127.0.0.1", self._port_of_tls) as scu:
            scu.sock = self._context.wrap_socket(scu.sock)
            scu.associate([(1, CT, ["1.2.840.10008.1.2.1"])])
            file = store(scu)
            scu.release()
        return file.removeprefix("CT.")


def test_takeover_and_reload_over_tls(site: Site, tmp_path: Path) -> None:
    """The key is encrypted: nobody is asked for its password a second time."""
    authority = Authority.make(tmp_path / "ca")
    identity = authority.issue("localhost", "rsa")
    key = identity.key_file(password="open sesame")
    tls = ["+tls", key, identity.certificate_file(), "+cf", authority.certificate_file(), "-ic", "+pw", "open sesame"]
    with UpgradableServer([*site.options, *tls]) as server:
        sender = SteadyOverTLS(server.port, authority.certificate_file())
        sender.start()
        sender.progress(3)
        [old] = server.acceptors()
        former = server.children(old, "worker")
        old.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(former) & set(server.children(old, "worker")), "new workers")
        sender.progress(3)
        server.upgraded()
        sender.progress(3)
        sender.finish()
    site.expect(sender.stored)


def interpreter_of_everybody(directory: Path) -> tuple[str, list[str]]:
    """Return an interpreter by which another user can start the program that is tested, and where it finds its packages."""
    packages = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    code = f"import fastscp.cli.main, fastscp.service.run, fastscp.coordinator.process, os; os.listdir({str(directory)!r})"
    for interpreter in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run([interpreter, "-c", code], user="nobody", cwd="/", capture_output=True, check=False,
                                  env={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *packages])})
        except PermissionError:
            continue
        if not done.returncode:
            return interpreter, packages
    pytest.skip("no other user can reach this checkout and its interpreter")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_takeover_and_reload_as_another_user() -> None:
    """Over TLS, with a key that only root may read: a successor has nobody's privileges, and the key all the same."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        interpreter, packages = interpreter_of_everybody(directory)
        site = Site(directory)
        for path in (site.output, site.ran, site.ended):
            path.chmod(0o777)
        authority = Authority.make(directory / "ca")
        identity = authority.issue("localhost", "rsa")
        key = identity.key_file()
        key.chmod(0o600)
        server = UpgradableServer([*site.options, "--user", "nobody", "-ic", "+tls", key, identity.certificate_file(),
                                   "+cf", authority.certificate_file()])
        server.interpreter, server.packages = interpreter, packages
        with server:
            sender = SteadyOverTLS(server.port, authority.certificate_file())
            sender.start()
            [old] = server.acceptors()
            former = server.children(old, "worker")
            old.send_signal(signal.SIGHUP)
            wait_until(lambda: not set(former) & set(server.children(old, "worker")), "new workers")
            sender.progress(3)
            new = server.upgraded()
            assert new.username() == "nobody"
            sender.progress(3)
            wait_until(lambda: ended(old), "the old one ends")
            server.told.clear()
            server.upgraded()
            sender.progress(3)
            sender.finish()
        site.expect(sender.stored)


@pytest.mark.parametrize(("step", "fault"), [
    ("prepared", "os._exit(5)"), ("ready", "os._exit(5)"), ("ready", "time.sleep(1000)"),
    ("ready", "raise RuntimeError('unexpected')"),
])
def test_program_that_fails_at_a_step_leaves_the_old_one_serving(site: Site, step: str, fault: str) -> None:
    with UpgradableServer([*site.options, "--hang-timeout", "3"]) as server:
        sender = Steady(server.port)
        sender.start()
        kept = associated(server.port)
        sender.stored.append(store(kept))
        old = server.acceptors()
        server.spoil_new_program(step, fault)
        server.upgrade()
        wait_until(lambda: b"the new program did not take over" in server.log(), "the failure is logged")
        sender.progress(10)
        sender.stored.append(store(kept))
        kept.release()
        assert server.acceptors() == old
        server.mend_new_program()
        server.upgraded()  # the next try is as good as the first
        sender.progress(5)
        sender.finish()
    site.expect(sender.stored)


def test_program_that_cannot_be_imported_leaves_the_old_one_serving(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        server.break_new_program()
        server.upgrade()
        wait_until(lambda: b"did not take over (exit status 1), going on" in server.log(), "the failure is logged")
        stored = f"CT.{store_one(server.port)}"
        server.heard("")
        assert server.told[-1][1][0] == "READY=1"
    site.expect([stored])


def test_configuration_that_has_become_bad_leaves_the_old_one_serving(site: Site, tmp_path: Path) -> None:
    rules = tmp_path / "allow"
    rules.write_text("ALL: ALL\n")
    (tmp_path / "deny").touch()
    with UpgradableServer([*site.options, "+ac", "--hosts-allow", rules, "--hosts-deny", tmp_path / "deny"]) as server:
        rules.unlink()
        server.upgrade()
        wait_until(lambda: b"did not take over (exit status 1), going on" in server.log(), "the failure is logged")
        rules.write_text("ALL: ALL\n")
        store_one(server.port)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_new_program_killed_before_it_is_ready(site: Site, number: signal.Signals) -> None:
    with UpgradableServer(site.options) as server:
        [old] = server.acceptors()
        server.pause_new_program()
        server.upgrade()
        wait_until(lambda: newcomers(old), "the new program")
        newcomers(old)[0].send_signal(number)
        wait_until(lambda: b"did not take over (signal" in server.log(), "the failure is logged")
        stored = f"CT.{store_one(server.port)}"
        assert server.acceptors() == [old]
    site.expect([stored])


def test_old_program_killed_before_the_new_one_is_ready(site: Site) -> None:
    """The new one is alone then, and serves."""
    with UpgradableServer(site.options) as server:
        stored = [f"CT.{store_one(server.port)}"]
        [old] = server.acceptors()
        go = server.pause_new_program()
        server.upgrade()
        wait_until(lambda: b"is to take over" in server.log(), "the new program is started")
        old.kill()
        wait_until(lambda: ended(old), "the old one is dead")
        go.touch()
        stored.append(f"CT.{store_one(server.port)}")  # the socket was never closed
        assert b"the process to take over from is gone" in server.log()
    assert site.files() == site.hooks() == sorted(stored)


def test_old_program_killed_while_its_associations_end(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        busy = associated(server.port)
        stored = [store(busy)]
        [old] = server.acceptors()
        server.upgraded()
        uid = fresh_uid()
        content = data_set(uid)
        busy.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, content[:200])))
        old.kill()
        wait_until(lambda: ended(old), "the old one is dead")
        busy.send(p_data(pdv(1, 2, content[200:])))
        assert busy.read_status() == 0
        stored.append(f"CT.{uid}")
        busy.release()
        stored.append(f"CT.{store_one(server.port)}")
    site.expect(stored)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_new_program_killed_while_old_associations_end(site: Site, number: signal.Signals) -> None:
    """The old one serves again, with the studies as they are."""
    with UpgradableServer(site.options) as server:
        busy = associated(server.port)
        stored = [store(busy)]
        [old] = server.acceptors()
        new = server.upgraded()
        stored += [store(busy), f"CT.{store_one(server.port)}"]
        new.send_signal(number)
        wait_until(lambda: b"serving again" in server.log(), "the old one goes on")
        stored += [store(busy), f"CT.{store_one(server.port)}"]
        busy.release()
        assert server.acceptors() == [old]
    site.expect(stored, killed=True)


def test_second_request_while_the_first_is_under_way(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        [old] = server.acceptors()
        kept = associated(server.port)
        go = server.pause_new_program()
        server.upgrade()
        wait_until(lambda: b"is to take over" in server.log(), "the new program is started")
        server.upgrade()
        wait_until(lambda: b"takes over already" in server.log(), "the second request is refused")
        go.touch()
        wait_until(lambda: server.heard("READY=1", besides=[old]), "the new program serves")
        old.send_signal(signal.SIGUSR2)
        wait_until(lambda: server.log().count(b"takes over already") == 2, "the third one, too")
        assert len(server.acceptors()) == 2
        kept.release()
        wait_until(lambda: ended(old), "the old one ends")


def test_stop_while_the_new_program_starts(site: Site) -> None:
    with UpgradableServer(site.options) as server:
        stored = [f"CT.{store_one(server.port)}"]
        go = server.pause_new_program()
        server.upgrade()
        wait_until(lambda: b"is to take over" in server.log(), "the new program is started")
        [old] = server.acceptors()
        [newcomer] = newcomers(old)
        assert server.stop() == 0
        go.touch()
        wait_until(lambda: ended(newcomer), "the new one ends, too")
        assert server.acceptors() == []
    site.expect(stored)


def test_stop_of_the_new_program_ends_both(site: Site) -> None:
    with UpgradableServer([*site.options, "--drain-timeout", "20"]) as server:
        idle, busy = associated(server.port), associated(server.port)
        stored = [store(busy)]
        [old] = server.acceptors()
        new = server.upgraded()
        uid = fresh_uid()
        content = data_set(uid)
        busy.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, content[:200])))
        wait_until(lambda: server.log().count(b"Received Store Request") == 2, "it has begun")
        new.terminate()
        wait_until(lambda: server.log().count(b"draining: ") == 2, "both drain")
        busy.send(p_data(pdv(1, 2, content[200:])))
        assert busy.read_status() == 0  # it may end what it does
        stored.append(f"CT.{uid}")
        busy.release()
        wait_until(lambda: ended(old) and ended(new), "both end")
        idle.close()
    site.expect(stored)


def test_reload_meanwhile(site: Site) -> None:
    """Before the new program serves, the old one reloads; afterwards it has nothing to reload."""
    with UpgradableServer(site.options) as server:
        sender = Steady(server.port)
        sender.start()
        kept = associated(server.port)
        [old] = server.acceptors()
        go = server.pause_new_program()
        server.upgrade()
        wait_until(lambda: b"is to take over" in server.log(), "the new program is started")
        former = server.children(old, "worker")
        old.send_signal(signal.SIGHUP)
        wait_until(lambda: sum(process not in former for process in server.children(old, "worker")) == 2, "new workers")
        go.touch()
        wait_until(lambda: server.heard("READY=1", besides=[old]), "the new program serves")
        old.send_signal(signal.SIGHUP)
        wait_until(lambda: b"nothing to reload" in server.log(), "nothing to reload")
        former = server.children(server.acceptors()[-1], "worker")
        server.acceptors()[-1].send_signal(signal.SIGHUP)
        wait_until(lambda: not set(former) & set(server.children(server.acceptors()[-1], "worker")), "new workers")
        sender.stored.append(store(kept))
        kept.release()
        sender.progress(5)
        sender.finish()
    site.expect(sender.stored)


@pytest.mark.parametrize("title", ["coordinator", "worker"])
@pytest.mark.parametrize("whose", [0, 1])
def test_child_killed_while_old_associations_end(site: Site, title: str, whose: int) -> None:
    with UpgradableServer(site.options) as server:
        busy, other = associated(server.port), associated(server.port)
        stored = [store(busy), store(other)]
        server.upgraded()
        for process in server.children(server.acceptors()[whose], title)[:1]:
            process.kill()
            wait_until(lambda process=process: ended(process), "it is dead")  # type: ignore[misc]
        stored.append(f"CT.{store_one(server.port)}")
        for scu in (busy, other):
            if (title, whose) != ("worker", 0):
                stored.append(store(scu))
                scu.release()
            scu.close()
        wait_until(lambda: set(stored) <= set(site.hooks()), "hooks run")
    site.expect(stored)


@pytest.mark.parametrize("options", [["-su", "study"], []])
def test_hook_that_runs_meanwhile_runs_once(tmp_path: Path, options: list[str]) -> None:
    """The old coordinator stays to see its end; the new one starts what comes next."""
    output, ran, go = tmp_path / "output", tmp_path / "ran", tmp_path / "go"
    output.mkdir()
    hook = f"echo 'begin #f' >> {ran}; while [ ! -e {go} ]; do sleep 0.01; done; echo 'end #f' >> {ran}"
    with UpgradableServer(["-v", "--workers", "2", "-dhl", "--hook-jobs", "1", *options, "-xcr", hook, "-od", output]) as server:
        stored = [f"CT.{store_one(server.port)}" for _ in range(3)]
        wait_until(ran.exists, "the first hook runs")
        [old] = server.acceptors()
        server.upgraded()
        stored.append(f"CT.{store_one(server.port)}")
        assert [process.name() for process in old.children() if process.name() == "fastscp: coordi"] or server.children(old, "coordinator")
        go.touch()
        wait_until(lambda: ended(old), "the old one ends with its last hook")
        wait_until(lambda: ran.read_text().count("end") == 4, "the other hooks run")
    assert sorted(ran.read_text().split("\n")[:-1]) == sorted(f"{word} {file}" for file in stored for word in ("begin", "end"))


@pytest.mark.parametrize("options", [[], ["--exec-sync"], ["-su", "study", "-tos", "600"]])
def test_takeovers_in_a_row_run_each_hook_once(site: Site, options: list[str]) -> None:
    """Where no study is tracked, nothing but the acknowledgement of an event keeps its hook from running twice."""
    hook = ["-xcr", f"echo '#f' >> {site.ran}"]
    with UpgradableServer(["-v", "--workers", "2", "-dhl", *options, *hook, "-od", site.output]) as server:
        senders = [Steady(server.port) for _ in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(3):
            server.told.clear()
            server.upgraded()
            wait_until(lambda: len(server.acceptors()) == 1, "the old one ends")
        for sender in senders:
            sender.progress(3)
            sender.finish()
    stored = sorted(name for sender in senders for name in sender.stored)
    assert site.files() == site.hooks() == stored


def test_one_association_at_a_time_is_one_of_both_programs(site: Site) -> None:
    options: list[str | Path] = ["-v", "--single-process", "-dhl", "-od", site.output]
    with UpgradableServer(options) as server:
        first = associated(server.port)
        server.upgraded()
        second = RawSCU("127.0.0.1", server.port, timeout_s=0.5)
        with pytest.raises(TimeoutError):
            second.associate([(1, CT, ["1.2.840.10008.1.2.1"])])
        first.release()
        second.sock.settimeout(20)
        assert second.read_pdu()[0] == 2
        second.close()


def test_places_of_hosts_are_those_of_both_programs(site: Site) -> None:
    with UpgradableServer([*site.options, "--max-associations-per-host", "1"]) as server:
        first = associated(server.port)
        server.upgraded()
        with pytest.raises(Aborted):
            associated(server.port)
        first.release()
        wait_until(lambda: len(server.acceptors()) == 1, "the old one ends")
        associated(server.port).release()
