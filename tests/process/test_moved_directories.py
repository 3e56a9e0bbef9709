"""Directories that somebody else moves, removes or replaces while objects come into them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, StorescpServer, free_port, wait_until

STUDY = "1.2.3.1"
SORTING = pytest.mark.parametrize("sorting", [["-su", "P"], ["-ss", "P"], ["-sp"]], ids=["su", "ss", "sp"])
BASE = ["-v", "-dhl", "--workers", "2"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def connect(server: FastscpServer | StorescpServer) -> RawSCU:
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate(CT_CONTEXT)
    return scu


def store(scu: RawSCU, instance: str, study: str = STUDY) -> int:
    return scu.store(1, CT, instance, data_set(instance, study=study, pixels=64))


def directories(output: Path) -> list[Path]:
    return [path for path in sorted(output.iterdir()) if not path.name.startswith(".")]


@SORTING
@pytest.mark.parametrize("how", ["removed", "moved", "renamed beside"])
def test_directory_of_an_open_study_is_made_again(output: Path, tmp_path: Path, sorting: list[str], how: str) -> None:
    with FastscpServer(["-od", output, *sorting, "-rns", *BASE]) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        (directory,) = directories(output)
        if how == "removed":
            shutil.rmtree(directory)
        else:
            directory.rename(tmp_path / "elsewhere" if how == "moved" else output / "A")
        assert store(scu, "7.2") == 0
        assert os.listdir(directory) == ["CT.7.2"]
        scu.release()
        assert server.stop() == 0
        assert f"created new subdirectory for study: {directory}" in server.log().decode()
        assert f"made subdirectory for study again: {directory}" in server.log().decode()
    assert [name[:2] for name in os.listdir(directory)] == ["CT"]


@SORTING
@pytest.mark.parametrize("repeated", [False, True])
def test_directory_that_goes_during_a_transfer_is_made_again_at_publication(output: Path, sorting: list[str],
                                                                            repeated: bool) -> None:
    with FastscpServer(["-od", output, *sorting, *BASE]) as server, connect(server) as scu:
        if repeated:
            assert store(scu, "7.1") == 0
        octets = data_set("7.1", study=STUDY, pixels=64)
        scu.send(p_data(pdv(1, 3, c_store_rq(CT, "7.1", 9))) + p_data(pdv(1, 0, octets[:-40])))
        scu.send(p_data(pdv(1, 0, octets[-40:-20])))
        wait_until(partial(directories, output), "the directory was made")
        (directory,) = directories(output)
        if repeated:  # placed once the first object was answered
            wait_until((directory / "CT.7.1").exists, "the first object is there")
        shutil.rmtree(directory)
        scu.send(p_data(pdv(1, 2, octets[-20:])))
        assert scu.read_status() == 0
        assert os.listdir(directory) == ["CT.7.1"]
        scu.release()


def test_file_in_the_place_of_the_directory_refuses_objects_as_long_as_it_is_there(output: Path) -> None:
    with FastscpServer(["-od", output, "-su", "P", *BASE]) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        directory = output / f"P_{STUDY}"
        shutil.rmtree(directory)
        directory.write_text("in the way")
        assert store(scu, "7.2") == 0xA700
        assert f"cannot open directory {directory}: Not a directory" in server.log().decode()
        assert store(scu, "7.2") == 0xA700
        assert f"cannot make study directory {directory}: it is a file" in server.log().decode(), "it was asked for again"
        directory.unlink()
        assert store(scu, "7.3") == 0
        assert os.listdir(directory) == ["CT.7.3"]
        scu.release()


def test_output_directory_may_be_moved_away_and_back(output: Path, tmp_path: Path) -> None:
    with FastscpServer(["-od", output, "-su", "P", "-rns", *BASE]) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        output.rename(tmp_path / "away")
        assert store(scu, "7.2") & 0xFF00 == 0xA700
        (tmp_path / "away").rename(output)
        assert store(scu, "7.3") == 0
        scu.release()
        assert server.stop() == 0
    assert os.listdir(output / f"P_{STUDY}") == ["CT000001", "CT000002"]


def test_hook_may_move_the_directory_after_each_object(output: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    move = f"mv #p {away}/$FASTSCP_SOP_INSTANCE_UID"
    with FastscpServer(["-od", output, "-su", "P", "-xcr", move, "-xs", "-xcs", "true", *BASE]) as server, \
            connect(server) as scu:
        for number in range(5):
            assert store(scu, f"7.{number}") == 0
        scu.release()
        assert server.stop() == 0
    assert sorted(str(path.relative_to(away)) for path in away.rglob("CT*")) == [f"7.{n}/CT.7.{n}" for n in range(5)]


def test_study_whose_directory_is_gone_at_its_end_stops_nobody(output: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    with FastscpServer(["-od", output, "-su", "P", "-rns", "--study-manifest", "-xcs", f"echo #p >>{calls}",
                        "--completed-directory", tmp_path / "done", *BASE]) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        shutil.rmtree(output / f"P_{STUDY}")
        assert store(scu, "8.1", "1.2.3.2") == 0
        scu.release()
        assert server.stop() == 0
    assert sorted(calls.read_text().split()) == [f"{tmp_path}/done/P_1.2.3.2", f"{output}/P_{STUDY}"]


# -- prefixes that lead into a directory ----------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["a/b", "a/"])
@pytest.mark.parametrize("sorting", ["-su", "-ss"])
def test_prefix_with_a_directory_works_as_in_storescp_where_that_exists(tmp_path: Path, sorting: str, prefix: str) -> None:
    found = []
    for kind in (StorescpServer, FastscpServer):
        output = tmp_path / kind.__name__
        (output / "a").mkdir(parents=True)
        with kind(["-od", output, sorting, prefix]) as server, connect(server) as scu:
            assert store(scu, "7.1") == 0
            scu.release()
        (path,) = output.rglob("CT*")
        found.append([part[: len(prefix) - 1] if sorting == "-ss" else part for part in path.relative_to(output).parts])
    assert found[0] == found[1]


def start(*options: str | Path) -> tuple[int, str]:
    """Return the exit status and the log of a service that is not to start."""
    done = subprocess.run([sys.executable, "-m", "fastscp", *map(str, options), str(free_port())],
                          capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_prefix_with_a_directory_that_does_not_exist_is_an_error_at_the_start(output: Path) -> None:
    status, log = start("-od", output, "-su", "a/b")
    assert status == 1
    assert f"prefix a/b of study directories: directory {output}/a does not exist" in log


# -- completed studies ----------------------------------------------------------------------------------


def test_completed_directory_goes_with_sorting_only_and_not_with_late_objects_appended(output: Path) -> None:
    assert "--completed-directory only allowed with" in start("-od", output, "--completed-directory", "d")[1]
    log = start("-od", output, "-su", "P", "--completed-directory", output / "d", "--on-late", "append")[1]
    assert "--completed-directory not allowed with --on-late append" in log


@pytest.mark.parametrize(("name", "complaint"), [
    ("file", "cannot be used: File exists"), ("file/below", "cannot be used: Not a directory"),
    ("out", "is the output directory"), ("out/../out/", "is the output directory"),
])
def test_completed_directory_that_cannot_be_used_is_an_error_at_the_start(output: Path, tmp_path: Path, name: str,
                                                                         complaint: str) -> None:
    (tmp_path / "file").write_text("")
    status, log = start("-od", output, "-su", "P", "--completed-directory", tmp_path / name)
    assert status != 0
    assert complaint in log


def test_completed_directory_inside_the_output_directory_is_no_study_s(output: Path) -> None:
    done = output / "1.2" / "done"
    with FastscpServer(["-od", output, "-su", "", "--completed-directory", done, *BASE]) as server, connect(server) as scu:
        assert store(scu, "7.1", "1.2") == 0xC000
        assert store(scu, "7.1", ".fastscp-x") == 0xC000
        assert store(scu, "7.2", "1.3") == 0
        scu.release()
        assert server.stop() == 0
    assert os.listdir(output / "1.2") == ["done"]
    assert [str(path.relative_to(done)) for path in done.rglob("CT*")] == ["1.3/CT.7.2"]


def test_service_that_was_killed_hands_over_what_it_had(output: Path, tmp_path: Path) -> None:
    done, calls = tmp_path / "done", tmp_path / "calls"
    options = ["-od", output, "-su", "P", "-rns", "--completed-directory", done, "-xcs", f"echo #p >>{calls}", *BASE]
    with FastscpServer(options) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        server.kill()
    with FastscpServer(options) as server:
        assert server.stop() == 0
    assert set(calls.read_text().split()) == {f"{done}/P_{STUDY}"}
    assert os.listdir(done / f"P_{STUDY}") == ["CT000001"]


def test_drain_leaves_what_cannot_move_to_the_next_start(output: Path, tmp_path: Path) -> None:
    done, calls = tmp_path / "done", tmp_path / "calls"
    options = ["-od", output, "-su", "P", "--completed-directory", done, "-xcs", f"echo #p >>{calls}", *BASE]
    with FastscpServer(options) as server, connect(server) as scu:
        assert store(scu, "7.1") == 0
        done.rmdir()
        assert store(scu, "8.1", "1.2.3.2") == 0
        scu.release()
        assert server.stop() == 0
        assert f"study {STUDY}: {output}/P_{STUDY} cannot be moved to {done}/P_{STUDY}" in server.log().decode()
    assert not calls.exists()
    with FastscpServer(options) as server:
        assert server.stop() == 0
    assert set(calls.read_text().split()) == {f"{done}/P_{STUDY}", f"{done}/P_1.2.3.2"}
    assert sorted(os.listdir(done)) == [f"P_{STUDY}", "P_1.2.3.2"]
