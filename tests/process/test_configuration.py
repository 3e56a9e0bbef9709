"""Configuration files and rules for senders, in a running service, with DCMTK's clients and others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, associate_rq
from tests.support.servers import FastscpServer, Server, title_of, wait_until

ROOT = Path(__file__).parents[2]


class Site:
    """A directory with a configuration file, output directories for three senders, and what comes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "fastscp.toml"
        self.events = root / "events"
        for name in ("in", "ct", "mr", "new"):
            (root / name).mkdir()

    def write(self, text: str) -> None:
        """Write the file; {root} is this directory. It is complete at any time."""
        new = self.root / "next.toml"
        new.write_text(f'event-log = "{self.events}"\noutput-directory = "{self.root}/in"\n' + text.replace("{root}", str(self.root)))
        new.rename(self.file)

    def server(self, *arguments: str) -> FastscpServer:
        return FastscpServer(["--config", self.file, *arguments])

    def stored(self, directory: str) -> set[str]:
        """Return the names of what is stored below a directory, relative to it."""
        top = self.root / directory
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and ".fastscp" not in str(path)}

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        text = self.events.read_text() if self.events.exists() else ""
        every = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [event for event in every if event["event"] == kind]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def send(server: Server, calling: str = "RAWSCU", called: str = "ANY-SCP", *, study: str = "1.2.3", objects: int = 1) -> list[str]:
    uids = [fresh_uid() for _ in range(objects)]
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT, calling=calling, called=called)
        for uid in uids:
            assert scu.store(1, CT, uid, data_set(uid, study=study)) == 0
        scu.release()
    return uids


def answer(server: Server, calling: str = "RAWSCU", called: str = "ANY-SCP") -> bytes:
    """Return the first answer to an association request, b"" where the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        sock.sendall(associate_rq(CT_CONTEXT, calling, called))
        return sock.recv(10)


def rejected(reason: int, *, result: int = 1, source: int = 1) -> bytes:
    return bytes((3, 0, 0, 0, 0, 4, 0, result, source, reason))


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastscp", *map(str, arguments)], capture_output=True, text=True,
                          cwd=ROOT, timeout=60, check=False)


SECTIONS = """
sort-on-study-uid = "S"
[[sender]]
name = "ct"
calling-aet = ["CT*", "SCANNER"]
output-directory = "{root}/ct"
unique-filenames = true
[[sender]]
name = "mr"
called-aet = ["MR-IN"]
output-directory = "{root}/mr"
bit-preserving = true
filename-extension = ".dcm"
[[sender]]
name = "far"
calling-aet = ["FAR"]
network = ["10.0.0.0/8"]
"""


def test_whoever_fits_a_section_is_served_by_its_rules(site: Site) -> None:
    site.write(SECTIONS)
    with site.server() as server:
        first, = send(server, "CT1", study="1.2.3")
        second, = send(server, "OTHER", "MR-IN", study="1.2.3")
        third, = send(server, "OTHER", study="1.2.3")
        send(server, "ct1", study="1.2.3")  # case counts
        stored = wait_until_told(site, "object.stored", 4)
    assert {name.rpartition("/")[0] for name in site.stored("ct")} == {"S_1.2.3"}
    assert not any(first in name for name in site.stored("ct"))  # +uf
    assert site.stored("mr") == {f"CT.{second}.dcm"}
    assert f"S_1.2.3/CT.{third}" in site.stored("in")
    assert [event["sender"] for event in stored] == ["ct", "mr", "", ""]
    assert {event["sender"] for event in site.told("study.completed")} == {"ct", ""}


def wait_until_told(site: Site, kind: str, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(site.told(kind)) >= count, f"{count} times {kind}")
    return site.told(kind)


def test_whom_no_section_fits_is_refused_for_the_right_reason(site: Site) -> None:
    site.write(SECTIONS + "[unmatched]\naccept = false\n")
    with site.server() as server:
        assert answer(server, "CT1")[:1] == b"\x02"
        assert answer(server, "NOBODY", "NOWHERE") == rejected(7)
        assert answer(server, "FAR", "NOWHERE") == rejected(7)  # the section mr takes any calling title
        site.write(SECTIONS.replace('called-aet = ["MR-IN"]', 'calling-aet = ["MR"]\ncalled-aet = ["MR-IN"]')
                   + "[unmatched]\naccept = false\n")
        reload(server)
        assert answer(server, "NOBODY") == rejected(3)
        assert answer(server, "MR", "NOWHERE") == rejected(7)
        assert answer(server, "FAR") == b""
        refused = wait_until_told(site, "association.rejected", 5)
        assert b"(FAR -> ANY-SCP): access denied by the sections of the configuration file" in server.log()
    assert refused[-1]["reason"] == "access denied by the sections of the configuration file"


def test_a_section_may_refuse_by_itself(site: Site) -> None:
    site.write('[[sender]]\nname = "bad"\ncalling-aet = ["BAD*"]\naccept = false\n')
    with site.server() as server:
        assert answer(server, "BAD1") == rejected(3)
        assert answer(server, "GOOD")[:1] == b"\x02"


def test_only_the_own_title_is_served_where_that_is_required(site: Site) -> None:
    with FastscpServer(["-od", site.root / "in", "-aet", "GATEWAY", "--require-called-aet"]) as server:
        assert answer(server, called="GATEWAY")[:1] == b"\x02"
        assert answer(server, called="ANY-SCP") == rejected(7)
        assert answer(server, called="gateway") == rejected(7)


def test_limit_of_a_section_holds_across_all_workers(site: Site) -> None:
    site.write('workers = 2\n[[sender]]\nname = "ct"\ncalling-aet = ["CT*"]\nmax-associations = 3\n')
    with site.server() as server:
        held = [RawSCU("127.0.0.1", server.port) for _ in range(3)]
        for number, scu in enumerate(held):
            scu.associate(CT_CONTEXT, calling=f"CT{number}")
        assert answer(server, "CT9") == rejected(2, result=2, source=3)
        assert answer(server, "OTHER")[:1] == b"\x02"
        reload(server)
        assert answer(server, "CT9") == rejected(2, result=2, source=3), "those of workers that retire count"
        held.pop().release()
        wait_until(lambda: answer(server, "CT9")[:1] == b"\x02", "a place is free")
        for scu in held:
            scu.release()


def test_a_study_that_arrives_through_two_sections_is_two(site: Site) -> None:
    site.write('sort-on-study-uid = "S"\neostudy-timeout = 1\nexec-on-eostudy = "echo in $FASTSCP_SENDER #p >>{root}/hooks"\n'
               '[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\nexec-on-eostudy = "echo ct $FASTSCP_SENDER $FASTSCP_REVISION #p >>{root}/hooks"\n')
    with site.server() as server:
        with RawSCU("127.0.0.1", server.port) as one, RawSCU("127.0.0.1", server.port) as other:
            one.associate(CT_CONTEXT, calling="CT")
            other.associate(CT_CONTEXT, calling="X")
            for scu in (one, other, one, other):
                uid = fresh_uid()
                assert scu.store(1, CT, uid, data_set(uid, study="1.2.3")) == 0
            one.release()
            other.release()
        completed = wait_until_told(site, "study.completed", 2)
        wait_until(lambda: (site.root / "hooks").exists() and (site.root / "hooks").read_text().count("\n") == 2, "both hooks")
    assert sorted((event["sender"], event["count"], event["revision"]) for event in completed) == [("", 2, 1), ("ct", 2, 1)]
    assert len({event["directory"] for event in completed}) == 2
    of = {event["sender"]: event["directory"] for event in completed}
    assert sorted((site.root / "hooks").read_text().splitlines()) == [f"ct ct 1 {of['ct']}", f"in {of['']}"]
    assert {event["sender"] for event in site.told("hook.ended")} == {"ct", ""}


def reload(server: FastscpServer) -> None:
    """Have the file read again, and wait until new workers serve."""
    server.signal(signal.SIGHUP)
    wait_until(lambda: b"READY=1" in notifications(server), "reloaded")


def test_no_study_is_the_output_directory_of_another_section(site: Site) -> None:
    """It would be moved away with the study."""
    (site.root / "in" / "1.2.7").mkdir()
    site.write('sort-on-study-uid = ""\neostudy-timeout = 1\ncompleted-directory = "{root}/new"\n'
               '[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\noutput-directory = "{root}/in/1.2.7"\n')
    with site.server() as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            uid = fresh_uid()
            assert scu.store(1, CT, uid, data_set(uid, study="1.2.7")) == 0xC000
            scu.release()
        send(server, study="1.2.8")
        wait_until_told(site, "study.completed", 1)
        (uid,) = send(server, "CT")
        wait_until(lambda: len(site.stored("in/1.2.7")) + len(site.stored("new")) >= 2, "both")
    assert (site.root / "in" / "1.2.7").is_dir()


def notifications(server: FastscpServer) -> bytes:
    try:
        return server._notify.recv(4096)
    except BlockingIOError:
        return b""


def test_reload_changes_the_rules_of_new_associations_only(site: Site) -> None:
    site.write('[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\noutput-directory = "{root}/ct"\n')
    with site.server() as server, RawSCU("127.0.0.1", server.port) as old:
        old.associate(CT_CONTEXT, calling="CT")
        site.write('[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\noutput-directory = "{root}/new"\nfilename-extension = ".x"\n')
        reload(server)
        new, = send(server, "CT")
        uid = fresh_uid()
        assert old.store(1, CT, uid, data_set(uid)) == 0
        old.release()
    assert site.stored("ct") == {f"CT.{uid}"}
    assert site.stored("new") == {f"CT.{new}.x"}


def test_hooks_and_sorting_that_a_reload_brings_are_the_coordinators_too(site: Site) -> None:
    site.write('sort-on-study-uid = "A"\neostudy-timeout = 60\n[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\n')
    with site.server() as server:
        send(server, "CT", study="1.2.1")
        site.write('sort-on-study-uid = "A"\neostudy-timeout = 60\n[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\nsort-on-study-uid = "B"\n'
                   'eostudy-timeout = 1\nexec-on-eostudy = "echo #p >>{root}/hooks"\n'
                   '[[sender]]\nname = "fresh"\ncalling-aet = ["FRESH"]\noutput-directory = "{root}/new"\neostudy-timeout = 0\n')
        reload(server)
        send(server, "CT", study="1.2.2")
        send(server, "FRESH", study="1.2.3")
        completed = wait_until_told(site, "study.completed", 3)
        wait_until(lambda: len(site.told("hook.ended")) == 2, "hooks of both studies")
    assert sorted(event["directory"] for event in completed) == sorted(
        [f"{site.root}/in/A_1.2.1", f"{site.root}/in/B_1.2.2", f"{site.root}/new/A_1.2.3"])


@pytest.mark.parametrize(("text", "said"), [
    ("workers = 'x'\n", b"fastscp.toml:3: workers: an integer is wanted"),
    ("[[sender]]\n", b"fastscp.toml:3: sender: a section without name"),
    ('[[sender]]\nname = "a"\noutput-directory = "/nowhere"\n', b"section a: specified output directory does not exist"),
    ('sort-on-study-uid = "S"\n', b"the service was started without anything that needs studies: restart it"),
    ("=", b"fastscp.toml:3: Invalid statement"),
])
def test_a_file_with_mistakes_leaves_the_old_one_in_force(site: Site, text: str, said: bytes) -> None:
    site.write('[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\noutput-directory = "{root}/ct"\n')
    with site.server() as server:
        site.write(text)
        reload(server)
        assert b"not reloaded, what was in force stays: " in server.log()
        assert said in server.log()
        uid, = send(server, "CT")
        for worker in server.role("worker"):
            worker.kill()
        wait_until(lambda: answer(server, "CT")[:1] == b"\x02", "new workers")
        again, = send(server, "CT")
    assert site.stored("ct") == {f"CT.{uid}", f"CT.{again}"}


def test_what_only_a_start_can_change_stays_and_is_named(site: Site) -> None:
    site.write("workers = 1\n")
    with site.server() as server:
        site.write("workers = 2\nhook-jobs = 3\nport = 1\n")
        reload(server)
        log = server.log()
        wait_until(lambda: len(server.role("worker")) == 1, "one worker takes the place of the one there was")
    for name in (b"hook-jobs", b"workers"):
        assert name + b" stays as it was until the next start" in log


def test_reload_under_load_refuses_nobody(site: Site) -> None:
    rules = '[[sender]]\nname = "ct"\ncalling-aet = ["CT*"]\noutput-directory = "{root}/%s"\n[unmatched]\naccept = false\n'
    site.write("workers = 2\n" + rules % "ct")
    sent: list[str] = []
    failures: list[Exception] = []
    over = threading.Event()

    def client(number: int) -> None:
        try:
            while not over.is_set():
                sent.extend(send(server, f"CT{number}", objects=3))
        except (OSError, AssertionError, Aborted) as error:
            failures.append(error)

    with site.server() as server:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for directory in ("new", "ct", "new"):
            site.write("workers = 2\n" + rules % directory)
            reload(server)
            count = len(sent)
            wait_until(lambda count=count: len(sent) > count + 12 or failures, "more objects")  # type: ignore[misc]
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert site.stored("ct") | site.stored("new") == {f"CT.{uid}" for uid in sent}
    assert site.stored("ct")
    assert site.stored("new")


def test_a_section_that_is_gone_after_a_restart_loses_nothing(site: Site) -> None:
    rules = 'sort-on-study-uid = "S"\neostudy-timeout = 60\n'
    site.write(rules + '[[sender]]\nname = "ct"\ncalling-aet = ["CT"]\noutput-directory = "{root}/ct"\n')
    server = site.server()
    server.start()
    send(server, "CT", study="1.2.3")
    send(server, "X", study="1.2.3")
    server.kill()
    site.write(rules.replace("60", "1") + 'exec-on-eostudy = "true"\n')
    server = site.server()
    with server:
        completed = wait_until_told(site, "study.completed", 2)
        wait_until(lambda: len(site.told("hook.ended")) == 2, "the hooks")
    assert sorted((event["sender"], event["directory"]) for event in completed) == [
        ("", f"{site.root}/in/S_1.2.3"), ("ct", f"{site.root}/ct/S_1.2.3")]


def test_check_config_says_what_a_start_would(site: Site) -> None:
    site.write('sort-on-study-uid = "S"\n[[sender]]\nname = "ct"\noutput-directory = "{root}/ct"\n')
    good = program("--config", site.file, "--check-config", 1)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert not site.events.exists()
    assert os.listdir(site.root / "in") == []
    site.write('user = "nobody there"\n')
    bad = program("--config", site.file, "--check-config", 104)
    assert bad.returncode == 1
    assert "unknown user: nobody there" in bad.stderr


def test_print_config_can_be_read_again(site: Site) -> None:
    site.write(SECTIONS)
    first = program("--config", site.file, "--print-config", "-v", 11112)
    assert first.returncode == 0
    site.file.write_text(first.stdout)
    second = program("--config", site.file, "--print-config")
    assert second.stdout == first.stdout
    assert "port = 11112\n" in first.stdout


@pytest.mark.oracle
def test_clients_of_dcmtk_under_several_titles(site: Site) -> None:
    site.write(SECTIONS + "[unmatched]\naccept = false\n")
    uid = fresh_uid()
    body = data_set(uid)
    file = site.root / "raw"
    file.write_bytes(body)
    with site.server() as server:
        def run(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*command], capture_output=True, text=True, timeout=60, check=False)

        ports = ("localhost", str(server.port))
        assert run("echoscu", "-aet", "CT7", *ports).returncode == 0
        refused = run("echoscu", "-v", "-aet", "NOBODY", *ports)
        assert refused.returncode != 0
        assert "Called AE Title Not Recognized" in refused.stdout + refused.stderr
        assert run("dcmsend", "--read-dataset", "-aet", "SCANNER", *ports, str(file)).returncode == 0
        assert run("storescu", "-f", "-aet", "NOBODY", "-aec", "MR-IN", *ports, str(file)).returncode == 0
        wait_until(lambda: site.stored("mr"), "stored")
    assert site.stored("mr") == {f"CT.{uid}.dcm"}
    assert len(site.stored("ct")) == 1


def test_program_that_takes_over_reads_the_file_and_counts_the_places_of_sections(site: Site) -> None:
    site.write('[[sender]]\nname = "ct"\ncalling-aet = ["CT*"]\nmax-associations = 1\noutput-directory = "{root}/ct"\n')
    with site.server() as server, RawSCU("127.0.0.1", server.port) as held:
        held.associate(CT_CONTEXT, calling="CT1")
        site.write('[[sender]]\nname = "ct"\ncalling-aet = ["CT*"]\nmax-associations = 1\noutput-directory = "{root}/new"\n')
        server.signal(signal.SIGUSR2)
        wait_until(lambda: b"READY=1" in notifications(server), "another program serves")
        assert answer(server, "CT2") == rejected(2, result=2, source=3), "the place is held in the program before"
        uid = fresh_uid()
        assert held.store(1, CT, uid, data_set(uid)) == 0
        held.release()
        wait_until(lambda: answer(server, "CT2")[:1] == b"\x02", "a place is free")
        new, = send_when_free(server)
        os.kill(successor(server), signal.SIGTERM)
        wait_until(lambda: not server.alive(), "the first process ends")
    assert site.stored("ct") == {f"CT.{uid}"}
    assert site.stored("new") == {f"CT.{new}"}


def send_when_free(server: Server) -> list[str]:
    """Send an object as CT3, as soon as the one place is free."""
    sent: list[str] = []

    def tried() -> bool:
        try:
            sent.extend(send(server, "CT3"))
        except Aborted:
            return False
        return True

    wait_until(tried, "a place is free")
    return sent


def successor(server: FastscpServer) -> int:
    """Return the process that listens in place of the first."""
    found = [process.pid for process in server.family() if process.pid != server.process.pid  # type: ignore[union-attr]
             and "acceptor" in title_of(process)]
    assert len(found) == 1
    return found[0]
