"""fastscp-blast against real receivers, right ones and broken ones."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fastscp.blast.kit import Ammunition, resolved
from fastscp.blast.numbering import Order, new_run
from fastscp.blast.plan import Plan, Target
from fastscp.blast.run import Crew
from fastscp.blast.show import Silent
from fastscp.blast.synthetic import LOADS, synthetic
from tests.support import pki
from tests.support.blast import COMMAND, blast, environment, events, receiver
from tests.support.servers import FastscpServer, StorescpServer, wait_until

SUCCESS = 0
OPTIONS = {"storescp": [[], ["+te"], ["+ti"], ["+tb"], ["+td"], ["-e"], ["+e", "+g"], ["+B"], ["-u"], ["+F"], ["+p", "8", "8"]]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


def store(_number: int, path: Path, octets: bytes) -> int:
    path.write_bytes(octets)
    return SUCCESS


@pytest.mark.parametrize("load", LOADS)
def test_every_load_is_stored_as_it_was_sent(tmp_path: Path, directory: Path, load: str) -> None:
    with FastscpServer(["-od", directory]) as server:
        run = blast(tmp_path, server.port, "--load", load, "--objects", 6, "--associations", 2, "--verify", directory)
    assert run.status == 0, run.errors
    assert run.result["verified"][str(directory)]["found"] == 6
    assert (run.result["objects"], run.result["associations"], run.result["failures"]) == (6, 2, {"objects": {}, "associations": {}})
    assert "all 6 acknowledged objects found" in run.output
    assert len(list(directory.iterdir())) == 6


def test_nobody_begins_before_all_senders_are_there(tmp_path: Path, directory: Path) -> None:
    there = tmp_path / "there"

    def enter() -> None:
        assert not list(directory.iterdir()), "another sends already"
        with there.open("a") as file:
            file.write(f"{os.getpid()}\n")

    with FastscpServer(["-od", directory]) as server:
        plan = Plan(Target("127.0.0.1", server.port), studies=3, objects=5, associations=3, processes=3)
        ammunition = Ammunition(plan, [synthetic("sr")], Order(3, 1, 5, 3), new_run())
        result = Crew(plan, resolved(plan.target), ammunition, enter).work(Silent())
    assert (result.good, result.book.objects, len(list(directory.iterdir()))) == (True, 15, 15)
    assert len(set(there.read_text().split())) == 3


@pytest.mark.oracle
@pytest.mark.parametrize("options", OPTIONS["storescp"], ids=" ".join)
def test_what_the_options_of_storescp_change_is_no_damage(tmp_path: Path, directory: Path, dicom_files: list[Path], options: list[str]) -> None:
    del dicom_files
    with StorescpServer(["--fork", "-od", directory, *options]) as server:
        for load in ("sr", "mr", "enhanced"):
            run = blast(tmp_path, server.port, "--load", load, "--objects", 2, "--verify", directory, "--verify-wait", 0)
            assert run.status == 0, run.output


@pytest.mark.oracle
@pytest.mark.parametrize("kind", [FastscpServer, StorescpServer])
def test_files_are_sent_in_their_transfer_syntaxes(tmp_path: Path, directory: Path, dicom_files: list[Path],
                                                   kind: type[FastscpServer | StorescpServer]) -> None:
    files = [path for path in dicom_files if path.name in {
        "CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "image_dfl.dcm", "JPEG2000.dcm", "test-SR.dcm", "reportsi.dcm",
        "rtplan.dcm", "SC_rgb_rle.dcm", "MR_small_RLE.dcm", "examples_jpeg2k.dcm"}]
    assert len(files) > 8
    with kind(["-od", directory, "+xa", "-pm"]) as server:
        run = blast(tmp_path, server.port, "--studies", 2, "--associations", 2, "--verify", directory, "--verify-wait", 0, paths=tuple(files))
    assert run.status == 0, run.output + run.errors
    assert run.result["objects"] == 2 * len(files)


def test_what_cannot_be_sent_is_left_out(tmp_path: Path, directory: Path, dicom_files: list[Path]) -> None:
    """All files of a directory as they come: some have no UIDs, some are damaged, some no DICOM."""
    with FastscpServer(["-od", directory, "+xa", "-pm"]) as server:
        run = blast(tmp_path, server.port, "--verify", directory, paths=(dicom_files[0].parents[1] / "test_files",))
        named = blast(tmp_path, server.port, paths=(next(path for path in dicom_files if path.name == "nested_priv_SQ.dcm"),))
    assert (named.status, "cannot be sent: the data set has no SOP Instance UID" in named.errors) == (2, True)
    assert run.result["objects"] > 60
    assert set(run.result["failures"]["objects"]) == {"status C000H Error: Cannot understand"}  # of data sets that are cut
    assert run.wrong(directory) == {}
    assert any("nested_priv_SQ.dcm: the data set has no SOP Instance UID" in line for line in run.result["left_out"])
    assert "left out: " in run.output


def test_a_broken_receiver_is_found_out(tmp_path: Path, directory: Path) -> None:
    """It answers each object with success, and drops, damages, cuts, doubles and makes up some."""
    def broken(number: int, path: Path, octets: bytes) -> int:
        if number == 3:
            return SUCCESS
        if number == 5:
            octets = octets[:-100] + b"\xaa" + octets[-99:]
        if number == 7:
            octets = octets[:-200]
        if number == 9:
            path.with_suffix(".again").write_bytes(octets)
        if number == 11:
            path.with_suffix(".other").write_bytes(octets.replace(path.name.encode(), b"1.2.3".ljust(len(path.name), b"\0")))
        path.write_bytes(octets)
        return SUCCESS

    with receiver(directory, broken) as port:
        run = blast(tmp_path, port, "--load", "mr", "--objects", 20, "--verify", directory, "--verify-wait", 0)
    assert run.status == 1
    assert run.result["objects"] == 20
    assert run.result["failures"] == {"objects": {}, "associations": {}}
    assert run.wrong(directory) == {"lost": 1, "damaged": 2, "double": 1, "unasked-for": 1}
    found = run.result["verified"][str(directory)]
    assert found["found"] == 17
    assert [line[-4:] for line in found["lost"]] == ["0003"]
    assert "7FE0,0010" in found["damaged"][0]
    assert "differs at its octet" in found["damaged"][0]
    assert "cannot be read" in found["damaged"][1]
    assert "0009 in " in found["double"][0]
    assert "1.2.3 in " in found["unasked-for"][0]
    assert "lost: " + found["lost"][0] in run.output


def test_what_was_there_before_is_left_alone(tmp_path: Path, directory: Path) -> None:
    (directory / "old").write_bytes(b"\x08\0\x16\0UI\x04\x001.2\0\x08\0\x18\0UI\x04\x001.3\0")
    with receiver(directory, store) as port:
        assert blast(tmp_path, port, "--load", "sr", "--objects", 3, "--verify", directory).status == 0
        assert blast(tmp_path, port, "--load", "sr", "--objects", 3, "--verify", directory).status == 0
    assert len(list(directory.iterdir())) == 7


def test_what_comes_late_is_waited_for(tmp_path: Path, directory: Path) -> None:
    """The receiver stores each object when the next one comes, and the last one a while after the run."""
    import threading

    timers: list[threading.Timer] = []

    def late(_number: int, path: Path, octets: bytes) -> int:
        timer = threading.Timer(0.5, path.write_bytes, [octets])
        timers.append(timer)
        timer.start()
        return SUCCESS

    with receiver(directory, late) as port:
        run = blast(tmp_path, port, "--load", "sr", "--objects", 3, "--verify", directory, "--verify-wait", 30)
    for timer in timers:
        timer.join()
    assert run.status == 0, run.output


def test_failures_are_counted_by_status(tmp_path: Path, directory: Path) -> None:
    def refusing(number: int, path: Path, octets: bytes) -> int:
        if number % 5 == 0:
            return 0xA700
        if number % 5 == 1:
            path.write_bytes(octets)
            return 0xB000
        return store(number, path, octets)

    with receiver(directory, refusing) as port:
        run = blast(tmp_path, port, "--load", "sr", "--objects", 10, "--verify", directory, "--verify-wait", 0)
    assert run.status == 1
    assert run.result["failures"]["objects"] == {"status A700H Refused: Out of resources": 2}
    assert run.result["warnings"] == {"B000H Warning": 2}
    assert (run.result["objects"], run.result["verified"][str(directory)]["found"]) == (8, 8)


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", "connection refused")])
def test_nobody_there(tmp_path: Path, host: str, kind: str) -> None:
    from tests.support.servers import free_port

    run = blast(tmp_path, free_port(), "--objects", 5, host=host)
    assert run.status == 1
    assert run.result["failures"] == {"objects": {"not sent: no association": 5}, "associations": {kind: 5}}


@pytest.mark.oracle
def test_studies_end_once(tmp_path: Path, directory: Path) -> None:
    log = tmp_path / "events"
    with FastscpServer(["-od", directory, "-su", "S", "-tos", "1", "--event-log", log]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--studies", 3, "--series", 2, "--objects", 4, "--associations", 2,
                    "--verify", directory, "--verify-events", log, "--verify-wait", 30)
    assert run.status == 0, run.output
    assert run.result["verified"][str(log)] == {"found": 24, "studies_ended": 3, "lost": [], "damaged": [], "double": [], "unasked-for": [],
                                                "studies not ended once": []}
    stored = [event for event in events(log) if event["event"] == "object.stored"]
    assert len({event["study_uid"] for event in stored}) == 3
    assert len({event["series_uid"] for event in stored}) == 6


def test_a_study_without_an_end_is_named(tmp_path: Path, directory: Path) -> None:
    log = tmp_path / "events"
    with FastscpServer(["-od", directory, "-su", "S", "-tos", "600", "--event-log", log]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--objects", 2, "--verify-events", log, "--verify-wait", 1)
    assert run.status == 1
    assert run.wrong(log) == {"studies not ended once": 1}
    assert run.result["verified"][str(log)]["found"] == 2


def test_shape_of_a_run(tmp_path: Path, directory: Path) -> None:
    log = tmp_path / "events"
    with FastscpServer(["-od", directory, "--event-log", log]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--objects", 20, "--objects-per-association", 3, "--associations", 2, "--pdu", 4096,
                    "--calling-aet", "ME", "--called-aet", "YOU", "--pipeline", 2, "--idle", 3, "--timeout", 30, "--processes", 2,
                    "--ramp", 1, "--verify", directory)
    assert run.status == 0, run.output
    assert (run.result["objects"], run.result["associations"]) == (20, 7 + 3)
    opened = [event for event in events(log) if event["event"] == "association.opened"]
    assert {(event["calling_aet"], event["called_aet"]) for event in opened} == {("ME", "YOU")}
    closed = [event for event in events(log) if event["event"] == "association.closed"]
    assert sorted(event["stored"] for event in closed) == [0, 0, 0, 2, 3, 3, 3, 3, 3, 3]
    assert {event["how"] for event in closed} == {"released"}
    assert run.result["tester"]["processes"] == 2


@pytest.mark.parametrize("mutual", [False, True], ids=["server verified", "both verified"])
def test_tls(tmp_path: Path, directory: Path, mutual: bool) -> None:
    authority = pki.Authority.make(tmp_path / "pki")
    server_keys, own = authority.issue("server"), authority.issue("blast")
    verification = ["-rc", "+cf", authority.certificate_file()] if mutual else ["-ic"]
    keys = ["--tls-keys", own.key_file(), own.certificate_file()] if mutual else []
    with FastscpServer(["-od", directory, "+tls", server_keys.key_file(), server_keys.certificate_file(), *verification]) as server:
        run = blast(tmp_path, server.port, "--load", "ct", "--objects", 4, "--associations", 2, "--tls", "--tls-ca",
                    authority.certificate_file(), *keys, "--verify", directory)
        assert run.status == 0, run.output
        stranger = pki.Authority.make(tmp_path / "other", "Other CA")
        refused = blast(tmp_path, server.port, "--load", "sr", "--objects", 1, "--tls", "--tls-ca", stranger.certificate_file(), *keys)
    assert refused.status == 1
    assert "CERTIFICATE_VERIFY_FAILED" in next(iter(refused.result["failures"]["associations"])).upper()


def test_open_loop_counts_from_the_planned_time(tmp_path: Path, directory: Path) -> None:
    """A receiver that stalls once for 0.8 s makes all wait that fell due meanwhile, not only one."""
    import threading

    def stalling(number: int, path: Path, octets: bytes) -> int:
        if number == 5:
            threading.Event().wait(0.8)
        return store(number, path, octets)

    with receiver(directory, stalling) as port:
        run = blast(tmp_path, port, "--load", "sr", "--objects", 50, "--rate", "50/s")
        late = run.result["object_latency_ms"]
        assert run.status == 0
        assert late["max"] >= 750
        assert late["p90"] >= 200  # 40 fell due in 0.8 s, so a fifth of all waited longer than that
    with receiver(directory, stalling) as port:
        closed = blast(tmp_path, port, "--load", "sr", "--objects", 50).result["object_latency_ms"]
    assert closed["max"] >= 750
    assert closed["p90"] < late["p90"]


def test_a_run_ends_after_its_duration(tmp_path: Path, directory: Path) -> None:
    with FastscpServer(["-od", directory]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--duration", 2, "--objects", 5, "--associations", 2, "--rate", 40, "--ramp", 1,
                    "--verify", directory)
    assert run.status == 0, run.output
    assert 2 <= run.result["seconds"] < 20
    assert 30 <= run.result["objects"] <= 62  # 20 in the ramp, 40 after it
    assert len(run.result["timeline"]) >= 4


def test_a_line_that_is_long_or_narrow(tmp_path: Path, directory: Path) -> None:
    with FastscpServer(["-od", directory]) as server:
        long = blast(tmp_path, server.port, "--load", "sr", "--objects", 3, "--delay", 150)
        narrow = blast(tmp_path, server.port, "--load", "mr", "--objects", 2, "--bandwidth", "64K", "--verify", directory)
    assert (long.status, narrow.status) == (0, 0)
    assert long.result["object_latency_ms"]["p50"] >= 150
    assert long.result["association_latency_ms"]["p50"] >= 150
    assert narrow.result["object_latency_ms"]["p50"] >= 300  # 33 kB with 64 kB/s


def test_plot(tmp_path: Path, directory: Path) -> None:
    with FastscpServer(["-od", directory]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--objects", 30, "--svg", tmp_path / "plot.svg")
    assert run.status == 0
    root = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{*}polyline")) == 3


def test_interrupted_it_finishes_what_is_under_way(tmp_path: Path, directory: Path) -> None:
    report = tmp_path / "blast.json"
    with FastscpServer(["-od", directory]) as server:
        process = subprocess.Popen([*COMMAND, "--load", "sr", "--duration", "600", "--verify", str(directory), "--json", str(report),
                                    "127.0.0.1", str(server.port)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        wait_until(lambda: len(list(directory.iterdir())) > 20, "some objects")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "interrupted" in output
    assert "acknowledged objects found" in output
    assert "lost" not in output


@pytest.mark.parametrize("associations", [3])
def test_others_are_served_beside_hostile_peers(tmp_path: Path, directory: Path, associations: int) -> None:
    with FastscpServer(["-od", directory]) as server:
        run = blast(tmp_path, server.port, "--load", "sr", "--duration", 4, "--associations", associations, "--hostile", 60, "--rate", 30,
                    "--verify", directory)
    assert run.status == 0, run.output
    assert set(run.result["hostile"]) >= {"cut", "abort", "slow", "garbage", "length", "early"}
    assert "hostile" in run.output
    assert run.result["objects"] > 50


@pytest.mark.parametrize("named", [[], ["--hostile-host", "192.0.2.2"]])
def test_hostile_only_to_who_is_named_twice(named: list[str]) -> None:
    done = subprocess.run([*COMMAND, "--hostile", "10", *named, "192.0.2.1", "104"], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 2
    assert "--hostile-host 192.0.2.1" in done.stderr
