"""Names that peers choose: none of them is ever one of the service's, and none leads anywhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer

#: as Study Instance UIDs, SOP Instance UIDs and patients' names
HARMFUL = (".fastscp", ".FASTSCP", ".Fastscp-1-1.tmp", ".fastscp-0a-1.tmp", ".fastscp-0a-1.keep", ".fastscp-0a-1.copy", ".fastscpish",
           ".fastscp-0011223344556677.arriving", ".", "..")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if ".fastscp" not in path.parts}


def send(server: FastscpServer, instance: str, study: str = "1.2.3", patient: str = "P") -> int:
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        return scu.store(1, CT, instance, data_set(instance, study=study, patient=patient))


def test_study_that_is_called_like_something_of_ours_is_refused(output: Path) -> None:
    for name in ("state", "quarantine", "done"):
        (output / name).mkdir()
    own = ["state", "State", "quarantine", "QUARANTINE", "done", "events", "events.1", "EVENTS-2026", "log", "log.1"]
    config = output.parent / "log.cfg"
    config.write_text(f"log4cplus.rootLogger = INFO, file\nlog4cplus.appender.file = log4cplus::FileAppender\n"
                      f"log4cplus.appender.file.File = {output}/log\nlog4cplus.appender.file.layout = log4cplus::SimpleLayout\n")
    with FastscpServer(["-od", output, "-su", "", "--state-dir", output / "state", "--quarantine", output / "quarantine",
                        "--completed-directory", output / "done", "--event-log", output / "events", "-lc", config,
                        "--workers", "2", "-tos", "600"]) as server:
        before = {name: os.listdir(output / name) for name in ("state", "quarantine", "done")}
        statuses = {name: send(server, f"7.{number}", study=name) for number, name in enumerate((*HARMFUL, *own))}
        # what cannot be stored is kept, under a name that is ours
        assert set(statuses.values()) == {0xB007}
        assert {name: os.listdir(output / name) for name in ("state", "done")} == {name: before[name] for name in ("state", "done")}
        assert {name[:10] for name in os.listdir(output / "quarantine")} == {"CT.X.2.25."}
        assert [send(server, f"8.{number}", study=name) for number, name in enumerate(("1.2.3", "...", "events_1", "-rf", "~"))] == [0] * 5
        assert server.stop() == 0
    assert sorted(os.listdir(output)) == ["done", "events", "log", "quarantine", "state"]
    assert sorted(os.listdir(output / "done")) == ["-rf", "...", "1.2.3", "_", "events_1"]
    assert all(json.loads(line) for line in (output / "events").read_text().splitlines())


@pytest.mark.parametrize("sorting", [["-su", "S"], ["-ss", ""], ["-ss", "S"], ["-sp"], ["-sp", "--transliterate-names"]], ids="".join)
def test_other_sortings_make_harmless_names_of_anything(output: Path, sorting: list[str]) -> None:
    with FastscpServer(["-od", output, *sorting, "--event-log", output / "events", "--workers", "2"]) as server:
        for number, name in enumerate((*HARMFUL, "events", "../../etc", "a/b", "\x1b[2J")):
            assert send(server, f"7.{number}", study=name, patient=name) == 0, name
        assert server.stop() == 0
    made = [name for name in os.listdir(output) if name not in {".fastscp", "events"}]
    assert not [name for name in made if name.startswith(".")]
    assert all((output / name).is_dir() for name in made)
    assert (output / "events").is_file()


@pytest.mark.parametrize("naming", [[], ["-fe", ".tmp"], ["-su", ""], ["-tn"], ["+uf"]], ids="".join)
def test_instances_get_harmless_names_of_anything(output: Path, naming: list[str]) -> None:
    with FastscpServer(["-od", output, *naming, "--workers", "2", "-tos", "600"] if naming[:1] == ["-su"] else
                       ["-od", output, *naming, "--workers", "2"]) as server:
        for name in (*HARMFUL, "../../etc/passwd", "manifest.json", "X.2.25.1"):
            assert send(server, name) == 0, name
        found = {path for path in tree(output) if not (output / path).is_dir()}
        assert len(found) == len(HARMFUL) + 3
        assert all("CT" in name and not name.startswith(".") for name in map(os.path.basename, found))
        assert tree(output.parent) == {f"out/{name}" for name in tree(output)} | {"out"}


def test_instance_is_never_called_like_the_event_log(output: Path) -> None:
    events = output / "CT.log"
    with FastscpServer(["-od", output, "--event-log", events, "--workers", "2"]) as server:
        for uid in ("log", "LOG", "log.1", "log"):
            assert send(server, uid) == 0
        assert server.stop() == 0
    kinds = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert kinds.count("object.stored") == 4
    others = set(os.listdir(output)) - {"CT.log"}
    assert len(others) == 3
    assert not {name.lower() for name in others} & {"ct.log", "ct.log.1"}


def test_instance_is_never_called_like_a_file_of_the_log(output: Path) -> None:
    config = output.parent / "log.cfg"
    config.write_text(f"log4cplus.rootLogger = WARN, file\nlog4cplus.appender.file = log4cplus::FileAppender\n"
                      f"log4cplus.appender.file.File = {output}/CT.log\nlog4cplus.appender.file.layout = log4cplus::SimpleLayout\n")
    with FastscpServer(["-od", output, "-lc", config, "--workers", "2"]) as server:
        for uid in ("log", "1.2.3", "log", "log.1"):
            assert send(server, uid) == 0
        assert server.stop() == 0
    assert "is the service's own" in (output / "CT.log").read_text()
    assert len(os.listdir(output)) == 4


def test_study_directory_that_is_a_symbolic_link_is_not_followed(tmp_path: Path, output: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (output / "1.2.3").symlink_to(elsewhere)
    (tmp_path / "link").symlink_to(output)
    events = tmp_path / "events"
    with FastscpServer(["-od", tmp_path / "link", "-su", "", "--event-log", events, "--workers", "2"]) as server:
        assert send(server, "7.1") == 0xA700
        assert send(server, "7.2", study="1.2.4") == 0
        # planted while the study is open
        (output / "1.2.4").rename(output / "moved")
        (output / "1.2.4").symlink_to(elsewhere)
        assert send(server, "7.3", study="1.2.4") == 0xA700
        assert server.stop() == 0
    assert os.listdir(elsewhere) == []
    reasons = [json.loads(line)["reason"] for line in events.read_text().splitlines() if '"object.refused"' in line]
    assert reasons == [f"{tmp_path}/link/{study} is a symbolic link, which is not followed" for study in ("1.2.3", "1.2.4")]
    assert os.listdir(output / "moved") == ["CT.7.2"]


def test_state_directory_is_not_where_studies_are(output: Path) -> None:
    server = FastscpServer(["-od", output, "-su", "", "--state-dir", output])
    with pytest.raises(AssertionError, match="give it one of its own"):
        server.start()


def test_prefix_is_not_the_services_own(output: Path) -> None:
    server = FastscpServer(["-od", output, "-su", ".fastscp-"])
    with pytest.raises(AssertionError, match="the service's own"):
        server.start()
