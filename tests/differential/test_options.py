"""Options given to fastscp and to the real storescp, with a real client: the same names, statuses and messages.

Bytes of files are compared elsewhere; here it is what an option does to names, associations and hooks. Parts of names
that are made of the time or are fresh UIDs are compared by form.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rawscu import CT_IMAGE, Aborted, Instance, RawSCU, read_instance
from tests.support.servers import FastscpServer, Server, StorescpServer, wait_until

pytestmark = pytest.mark.oracle

EXPLICIT = "1.2.840.10008.1.2.1"
SERVERS = (FastscpServer, StorescpServer)


@pytest.fixture(scope="module")
def instance(dicom_files: list[Path]) -> Instance:
    return read_instance(next(path for path in dicom_files if path.name == "CT_small.dcm"))


def store(server: Server, instance: Instance, times: int = 1, calling: str = "RAWSCU") -> list[int | str]:
    """Send ``instance`` on one association; return each status, or what ended it."""
    answers: list[int | str] = []
    try:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate([(1, instance.sop_class, [instance.transfer_syntax])], calling=calling)
            while len(answers) < times:
                answers.append(scu.store(1, instance.sop_class, instance.sop_instance, instance.dataset))
            scu.release()
    except (Aborted, ConnectionError) as error:
        answers.append("rejected" if "PDU type 3" in str(error) else "aborted")
    return answers


def names(directory: Path) -> list[str]:
    """Return every file below ``directory``; digits that are time or a fresh UID by form."""
    found = []
    for path in directory.rglob("*"):
        relative = str(path.relative_to(directory))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(directory).parts):
            relative = re.sub(r"\d{8}_\d{9}", "DATE_TIME", relative)
            relative = re.sub(r"\b\d{17}(_\d{4})?\b", "MOMENT", relative)
            found.append(re.sub(r"\.X\.[0-9.]*\d", ".X.UID", relative))
    return sorted(found)


def outcomes(options: list[str], tmp_path: Path, instance: Instance) -> list[tuple[list[int | str], list[str]]]:
    """Store with each server; return the answers and the names of the files it made, ours first."""
    found = []
    for kind in SERVERS:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        with kind(["-od", directory, *options]) as server:
            found.append((store(server, instance), names(directory)))
    return found


SAME = [
    "--single-process", "--fork", "-uf", "+uf", "+uf -uf", "-tn", "-tn -fe .x", "-fe .dcm", "-fe _tail -uf", "-ss pre", "-ss ''",
    "-su pre", "-su ''", "-sp", "-sp +uf", "-su p -tn -fe .d", "--ignore", "--ignore -sp", "-F", "+F", "+B", "-B", "+t=", "+u", "+g=", "+e", "-p",
    "-uc", "+td +cl 9", "--abort-during", "--refuse", "--reject", "-up", "-dhl", "-ac", "-tls",
    "-aet OTHER", "-ts 5", "-ta 5 -td 5", "-pdu 4096", "--sleep-after 0 --sleep-during 0", "-pm", "+xi", "+x=", "-xs",
]


@pytest.mark.parametrize("options", SAME)
def test_same_files_and_answers(options: str, tmp_path: Path, instance: Instance) -> None:
    ours, theirs = outcomes(shlex.split(options), tmp_path, instance)
    assert ours == theirs


@pytest.mark.parametrize(("options", "answers", "files"), [
    ("--ignore", [0], []), ("--abort-during", ["aborted"], []), ("--refuse", ["rejected"], []),
    ("+uf", [0], ["CT.X.UID"]), ("-tn", [0], ["MOMENT.CT"]), ("-ss pre -tn -fe .d", [0], ["pre_DATE_TIME/MOMENT.CT.d"]),
])
def test_what_the_manual_says(options: str, answers: list[int | str], files: list[str], tmp_path: Path,
                              instance: Instance) -> None:
    with FastscpServer(["-od", tmp_path, *options.split()]) as server:
        assert store(server, instance) == answers
    assert names(tmp_path) == files


def test_abort_after_keeps_what_was_received_whole(tmp_path: Path, instance: Instance) -> None:
    """storescp deletes the file once more, by the mechanism that also deletes files it had acknowledged before."""
    ours, theirs = outcomes(["--abort-after"], tmp_path, instance)
    assert ours[0] == theirs[0] == ["aborted"]
    assert (len(ours[1]), theirs[1]) == (1, [])


PREFERENCES = [
    "+x=", "+xe", "+xb", "+xs", "+xy", "+xx", "+xv", "+xw", "+xt", "+xu", "+xm", "+xh", "+xn", "+xl", "+x2", "+x3", "+xo", "+x4",
    "+x5", "+xr", "+xd", "+xi", "+xa",
]
#: what a client proposes: each syntax alone with the uncompressed ones, and all at once
UNCOMPRESSED = ["1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2"]
PROPOSED = [f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 70, 80, 81, 90, 91, *range(100, 109))] + [
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.99"]


@pytest.mark.parametrize("flag", PREFERENCES)
def test_same_transfer_syntax_is_accepted(flag: str, tmp_path: Path) -> None:
    contexts = [(2 * number + 1, CT_IMAGE, [*UNCOMPRESSED, syntax]) for number, syntax in enumerate(PROPOSED)]
    contexts.append((201, CT_IMAGE, [*UNCOMPRESSED, *PROPOSED]))
    contexts.append((203, CT_IMAGE, UNCOMPRESSED))
    accepted = []
    for kind in SERVERS:
        with kind(["-od", tmp_path, flag]) as server, RawSCU("127.0.0.1", server.port) as scu:
            accepted.append(scu.associate(contexts))
            scu.release()
    assert accepted[0] == accepted[1]
    assert len(accepted[0]) == len(contexts)


def test_existing_file_is_replaced_with_the_same_warning(tmp_path: Path, instance: Instance) -> None:
    logs = []
    for kind in SERVERS:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        with kind(["-od", directory]) as server:
            assert store(server, instance, times=2) == [0, 0]
            server.stop()
            logs.append(server.log().decode().replace(str(directory), "DIR"))
    assert logs[0] == logs[1]
    assert logs[0].startswith("W: ")


@pytest.mark.parametrize(("option", "answer"), [("-i4", "127.0.0.1"), ("-i6", "::1"), ("-i0", "127.0.0.1"), ("-i0", "::1")])
def test_ip_versions(option: str, answer: str, tmp_path: Path) -> None:
    if ":" in answer and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with FastscpServer([option, "-od", tmp_path]) as server, RawSCU(answer, server.port) as scu:
        scu.associate([(1, "1.2.840.10008.1.1", [EXPLICIT])])
        assert scu.echo(1) == 0
        scu.release()


@pytest.mark.parametrize(("option", "absent"), [("-i4", "::1"), ("-i6", "127.0.0.1")])
def test_other_ip_version_is_not_served(option: str, absent: str, tmp_path: Path) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with FastscpServer([option, "-od", tmp_path]) as server, pytest.raises(ConnectionRefusedError):
        socket.create_connection((absent, server.port), timeout=10)


def test_host_access_rules(tmp_path: Path) -> None:
    (tmp_path / "allow").write_text("fastscp: 127.0.0.2\n")
    (tmp_path / "deny").write_text("ALL: ALL\n")
    options = ["-od", tmp_path, "--hosts-allow", tmp_path / "allow", "--hosts-deny", tmp_path / "deny"]
    with FastscpServer(["+ac", *options]) as server:
        with (socket.create_connection(("127.0.0.1", server.port), timeout=10) as refused,
              contextlib.suppress(ConnectionResetError)):
            assert refused.recv(1) == b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=("127.0.0.2", 0)) as taken:
            taken.settimeout(0.2)
            with pytest.raises(TimeoutError):
                taken.recv(1)


def test_titles_and_places_reach_hooks(tmp_path: Path, instance: Instance) -> None:
    seen = []
    for kind in SERVERS:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        with kind(["-od", directory, "-xs", "-xcr", "echo #a #c #f"]) as server:
            assert store(server, instance, calling="A TITLE") == [0]
            wait_until(lambda server=server: b"A TITLE" in server.output(), "hook")
            seen.append(server.output())
    assert seen[0] == seen[1]


def test_version_line_is_what_programs_in_the_field_parse() -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp", "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"\$[a-z]+: (\S+) v(\d+)\.(\d+)\.(\d+)\S* (\d{4}-\d\d-\d\d) \$", done.stdout)
    assert found is not None
    assert tuple(map(int, found.group(2, 3, 4))) >= (3, 7, 0)


@pytest.mark.parametrize(("options", "received", "contexts"), [
    ("-ll info", True, False), ("-ll warn", False, False), ("-v +v", True, True), ("-ll info +v", True, True),
    ("-ll debug", True, True), ("-q", False, False),
])
def test_levels(options: str, received: bool, contexts: bool, tmp_path: Path, instance: Instance) -> None:
    for kind in SERVERS:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        with kind(["-dhl", "-od", directory, *options.split()]) as server:
            assert store(server, instance) == [0]
            server.stop()
            log = server.log()
        assert (b"I: Association Received" in log) == received, kind
        assert (b"Context ID:        1" in log) == contexts, kind
        assert (b"E: " in log, b"W: " in log, b"F: " in log) == (False, False, False), kind


@pytest.mark.parametrize("profile", ["Default", "AllDICOM", " all dicom "])
def test_same_profile_of_the_sample_file(profile: str, tmp_path: Path) -> None:
    sample = Path("/etc/dcmtk/storescp.cfg")
    if not sample.is_file():
        pytest.skip("DCMTK's samples are not installed")
    contexts = [(2 * number + 1, CT_IMAGE, [*UNCOMPRESSED, syntax]) for number, syntax in enumerate(PROPOSED)]
    accepted = []
    for kind in SERVERS:
        with kind(["-od", tmp_path, "-xf", sample, profile]) as server, RawSCU("127.0.0.1", server.port) as scu:
            accepted.append(scu.associate(contexts))
            scu.release()
    assert accepted[0] == accepted[1]


@pytest.mark.parametrize("sorting", ["-su p", "-ss p", "-sp"])
def test_end_of_study(sorting: str, tmp_path: Path, instance: Instance) -> None:
    """After the timeout the files of a study get new names, then the hook runs."""
    found = []
    for kind in SERVERS:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        options = ["-dhl", "-od", directory, *sorting.split(), "-rns", "-tos", "1", "-xcs", "echo END #a #c #r #p"]
        with kind(options) as server:
            assert store(server, instance) == [0]
            wait_until(lambda server=server: b"END" in server.output(), "end of study")
            output = server.output().decode().replace(str(directory), "DIR").strip()
            found.append((names(directory), re.sub(r"\d{8}_\d{9}", "DATE_TIME", output)))
    assert found[0] == found[1]
    assert [Path(name).name for name in found[0][0]] == ["CT000001"]
