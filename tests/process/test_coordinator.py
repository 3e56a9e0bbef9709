"""The coordinator process with scripted workers: placing, ends, renames, hooks, recovery."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.config.network import NetworkPolicy
from fastscp.errors import ProcessError
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy
from tests.support.coordination import CoordinatorProcess, ScriptedWorker, configuration
from tests.support.servers import wait_until

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def lines(path: Path) -> list[str]:
    """Return the complete lines of a file that hooks append to."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def wait_for_lines(path: Path, count: int) -> list[str]:
    wait_until(lambda: len(lines(path)) >= count, f"{count} lines in {path.name}")
    return lines(path)


def test_directory_exists_when_it_is_answered_and_follows_the_umask(output: Path) -> None:
    former = os.umask(0o027)
    try:
        with CoordinatorProcess(configuration(output, StudyPolicy(sorting=Sorting.STUDY_UID, prefix="P"))) as process:
            worker = process.worker()
            worker.open("a")
            answer = worker.place("a", "1.2.3")
            assert answer["directory"] == f"{output}/P_1.2.3"
            assert os.stat(answer["directory"]).st_mode & 0o777 == 0o750
    finally:
        os.umask(former)


@pytest.mark.parametrize("uid", ["", ".", "..", " ", "\\1.2", "\0", ".fastscp"])
def test_unacceptable_directory_names_are_refused_with_c000(output: Path, uid: str) -> None:
    with CoordinatorProcess(configuration(output, BY_UID)) as process:
        worker = process.worker()
        worker.open("a")
        assert worker.place("a", uid)["status"] == 0xC000
        assert worker.place("a", "1.2.3")["status"] == 0
    assert sorted(os.listdir(output)) == [".fastscp", "1.2.3"]


@pytest.mark.parametrize("uid", ["../x", "/etc", "a/../../b", "x" * 255, "..\n/..", "\xff/\xfe"])
def test_study_uid_never_leaves_the_output_directory(output: Path, uid: str) -> None:
    with CoordinatorProcess(configuration(output, BY_UID)) as process:
        worker = process.worker()
        worker.open("a")
        answer = worker.place("a", uid)
        assert Path(answer["directory"]).parent == output
        assert Path(answer["directory"]).is_dir()
    assert len(os.listdir(output)) == 2
    assert os.listdir(output.parent) == ["out"]


def test_name_that_is_too_long_or_a_file_is_refused(output: Path) -> None:
    (output / "1.2.3").write_text("in the way")
    with CoordinatorProcess(configuration(output, BY_UID)) as process:
        worker = process.worker()
        worker.open("a")
        assert worker.place("a", "1" * 300)["status"] == 0xC000
        assert worker.place("a", "1.2.3")["status"] == 0xC000


def test_directory_that_cannot_be_made_is_refused_with_a700(output: Path) -> None:
    with CoordinatorProcess(configuration(output, dataclasses.replace(BY_UID, state_directory=str(output.parent)))) as process:
        worker = process.worker()
        worker.open("a")
        output.rmdir()
        assert worker.place("a", "1.2.3")["status"] == 0xA700
        output.mkdir()
        assert worker.place("a", "1.2.3")["status"] == 0


def test_studies_that_open_in_the_same_millisecond_get_directories_of_their_own(output: Path) -> None:
    with CoordinatorProcess(configuration(output, StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES))) as process:
        worker = process.worker()
        for number in range(30):
            worker.open(f"a{number}")
            worker.ask(f"a{number}", f"1.2.{number}")
        names = [Path(worker.hear()["directory"]).name for _ in range(30)]
    assert len(set(names)) == 30
    assert all(re.fullmatch(r"[0-9]{8}_[0-9]{9}", name) for name in names)


def test_abandoned_transfer_leaves_no_directory_and_no_study(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_end_of_study=f"echo #p >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        answer = worker.place("a", "1.2.3")
        worker.say(kind="abandoned", request=answer["request"])
        wait_until(lambda: not (output / "1.2.3").exists(), "the directory is gone")
        assert process.drain() == 0
    assert lines(calls) == []


def test_object_of_another_study_ends_the_former_with_rename_before_hook(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
    hooks = HookPolicy(on_end_of_study=f"ls #p | tr '\\n' ' ' >>{calls}; echo #p #a #c #r >>{calls}")
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        worker = process.worker()
        worker.open("a", calling="FIRST")
        for name in ("CT.1", "MR.2", "CT.3"):
            worker.store("a", "1.2.3", name)
        worker.close("a")
        worker.open("b", calling="SECOND")
        worker.store("b", "1.2.4", "CT.9")
        assert wait_for_lines(calls, 1) == [f"CT000001 CT000003 MR000002 {output}/1.2.3 FIRST SCP 127.0.0.1"]
        assert os.listdir(output / "1.2.4") == ["CT.9"]


def test_late_objects_are_numbered_after_the_highest_and_nothing_is_overwritten(output: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
    with CoordinatorProcess(configuration(output, study)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.2.3", "CT.1")
        worker.store("a", "1.2.4", "CT.9")
        wait_until((output / "1.2.3" / "CT000001").exists, "the first end is carried out")
        (output / "1.2.3" / "MR000007").write_text("somebody else's")
        worker.store("a", "1.2.3", "CT.2")
        worker.store("a", "1.2.3", "CT.1")  # the same instance once more, with the same octets
        assert process.drain() == 0
    found = {path.name: path.read_text() for path in (output / "1.2.3").iterdir()}
    assert found == {"CT000001": "1.2.3 CT.1", "MR000007": "somebody else's", "CT000008": "1.2.3 CT.2"}


def test_repeated_object_leaves_no_gap_in_the_numbers(output: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
    with CoordinatorProcess(configuration(output, study)) as process:
        worker = process.worker()
        worker.open("a")
        for name in ("CT.1", "CT.2", "CT.1", "CT.3"):
            worker.store("a", "1.2.3", name)
        assert process.drain() == 0
    assert sorted(os.listdir(output / "1.2.3")) == ["CT000001", "CT000002", "CT000003"]


def test_study_held_by_another_association_does_not_end(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_end_of_study=f"echo #p >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        first, second = process.worker(), process.worker()
        first.open("a")
        second.open("b")
        first.store("a", "1.1", "CT.1")
        second.store("b", "1.2", "CT.1")
        first.store("a", "1.1", "CT.2")
        second.store("b", "1.3", "CT.1")  # ends 1.2, not 1.1
        assert wait_for_lines(calls, 1) == [f"{output}/1.2"]
        first.close("a")
        second.store("b", "1.3", "CT.2")  # nobody holds 1.1 any more
        assert wait_for_lines(calls, 2)[1:] == [f"{output}/1.1"]


def test_literal_rule_ends_a_study_at_the_next_object_of_another(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, literal_rule=True)
    with CoordinatorProcess(configuration(output, study, HookPolicy(on_end_of_study=f"echo #p >>{calls}"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.open("b")
        worker.store("a", "1.1", "CT.1")
        worker.store("b", "1.2", "CT.1")
        assert wait_for_lines(calls, 1) == [f"{output}/1.1"]


def test_timeout_never_ends_a_study_in_transfer(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=0.2)
    with CoordinatorProcess(configuration(output, study, HookPolicy(on_end_of_study=f"echo #p >>{calls}"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.open("b")
        worker.store("a", "1.1", "CT.1")
        placed = worker.place("b", "1.1")
        worker.store("a", "1.2", "CT.1")
        assert wait_for_lines(calls, 1) == [f"{output}/1.2"]  # its timeout; 1.1 is older and still in transfer
        (output / "1.1" / "CT.2").write_text("x")
        worker.tell_stored("b", "1.1", "CT.2", placed["directory"], placed["request"])
        assert wait_for_lines(calls, 2)[1:] == [f"{output}/1.1"]


def test_maximum_age_ends_a_study_that_is_still_held(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, max_age_s=0.2)
    hooks = HookPolicy(on_end_of_study=f"echo #p $FASTSCP_REASON >>{calls}")
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        assert wait_for_lines(calls, 1) == [f"{output}/1.1 maximum-age"]


def test_late_object_opens_a_new_directory_or_the_old_one(output: Path) -> None:
    for mode, count in ((LateObjects.NEW_STUDY, 3), (LateObjects.APPEND, 2)):
        place = output / mode.value
        place.mkdir()
        study = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P", on_late=mode, rename=True, manifest=True)
        with CoordinatorProcess(configuration(place, study)) as process:
            worker = process.worker()
            worker.open("a")
            first = worker.store("a", "1.1", "CT.1")
            worker.store("a", "1.2", "CT.1")
            wait_until(lambda first=first: Path(first, "manifest.json").exists(), "the first study ended")
            late = worker.store("a", "1.1", "CT.2")
            assert process.drain() == 0
        assert len([name for name in os.listdir(place) if name != ".fastscp"]) == count
        if mode is LateObjects.APPEND:
            assert late == first
            assert sorted(os.listdir(first)) == ["CT000001", "CT000002", "manifest.json"]
            manifest = json.loads(Path(first, "manifest.json").read_text())
            assert manifest["counts"] == {"series": 1, "instances": 2, "octets": 200}
            assert [entry["file"] for entry in manifest["series"][0]["instances"]] == ["CT000001", "CT000002"]


def test_series_hook_runs_before_the_study_hook(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_end_of_series=f"echo series $FASTSCP_SERIES_UID >>{calls}",
                       on_end_of_study=f"echo study $FASTSCP_STUDY_UID $FASTSCP_OBJECTS >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1", series="7.1")
        worker.store("a", "1.1", "CT.2", series="7.2")
        assert wait_for_lines(calls, 1) == ["series 7.1"]
        worker.store("a", "1.2", "CT.3", series="8.1")
        assert wait_for_lines(calls, 3)[1:] == ["series 7.2", "study 1.1 2"]


# -- recovery -----------------------------------------------------------------------------------------


def test_repeated_event_counts_once_after_kill(output: Path, calls: Path) -> None:
    config = configuration(output, BY_UID, HookPolicy(on_reception=f"echo #f >>{calls}"))
    worker = ScriptedWorker()
    with CoordinatorProcess(config) as process:
        process.connect(worker)
        worker.open("a")
        directory = worker.store("a", "1.1", "CT.1")
        wait_for_lines(calls, 1)
        process.kill()
        process.start()
        process.connect(worker)
        worker.open("a")
        worker.tell_stored("a", "1.1", "CT.1", directory, 1, event=1)
        assert worker.hear() == {"kind": "ack", "first": 1, "event": 1}
        assert worker.store("a", "1.1", "CT.2") == directory
        assert process.drain() == 0
    assert counted(lines(calls))["CT.2"] == 1


def counted(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in names}


def test_open_study_keeps_its_directory_and_holders_through_kill(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P")
    config = configuration(output, study, HookPolicy(on_end_of_study=f"echo #p $FASTSCP_OBJECTS >>{calls}"))
    one, two = ScriptedWorker(), ScriptedWorker()
    with CoordinatorProcess(config) as process:
        process.connect(one)
        process.connect(two)
        one.open("a")
        two.open("b")
        directory = one.store("a", "1.1", "CT.1")
        other = two.store("b", "1.2", "CT.1")
        process.kill()
        process.start()
        process.connect(two)
        two.open("b")
        two.store("b", "1.3", "CT.2")  # a holds 1.1, although it has not been heard of yet
        assert wait_for_lines(calls, 1) == [f"{other} 1"]
        process.connect(one)
        one.open("a")
        assert one.store("a", "1.1", "CT.2") == directory
        assert process.drain() == 0
    assert f"{directory} 2" in lines(calls)
    assert len(lines(calls)) == 3


def test_kill_during_hook_runs_it_again(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = HookPolicy(on_end_of_study=f"echo start >>{calls}; test -e {gate} || sleep 60; echo #p >>{calls}")
    config = configuration(output, StudyPolicy(sorting=Sorting.STUDY_UID, rename=True), hooks)
    with CoordinatorProcess(config) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        worker.store("a", "1.2", "CT.1")
        wait_for_lines(calls, 1)
        process.kill()
        gate.touch()
        process.start()
        assert wait_for_lines(calls, 3) == ["start", "start", f"{output}/1.1"]
    assert os.listdir(output / "1.1") == ["CT000001"]


def test_stop_keeps_studies_for_the_next_start(output: Path, calls: Path) -> None:
    config = configuration(output, BY_UID, HookPolicy(on_end_of_study=f"echo #p >>{calls}"))
    with CoordinatorProcess(config) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        process.order("stop")
        assert process.wait() == 0
        assert lines(calls) == []
        process.start()
        assert process.drain() == 0
    assert lines(calls) == [f"{output}/1.1"]


def test_end_of_control_channel_drains_once_the_last_worker_is_done(output: Path, calls: Path) -> None:
    with CoordinatorProcess(configuration(output, BY_UID, HookPolicy(on_end_of_study=f"echo #p >>{calls}"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        process.control.close()
        worker.store("a", "1.1", "CT.2")
        assert not calls.exists(), "what is under way counts"
        assert worker.channel is not None
        worker.channel.close()
        assert process.wait() == 0
    assert lines(calls) == [f"{output}/1.1"]


def test_state_directory_is_for_one_service(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with CoordinatorProcess(configuration(output, BY_UID)) as process:
        config = replace(configuration(output, BY_UID), network=NetworkPolicy(drain_timeout_s=0))
        second = CoordinatorProcess(config)
        with pytest.raises(ProcessError):  # end of the control channel instead of "ready"
            second.start()
        assert second.wait() == 1
        process.worker().open("a")
        assert process.drain() == 0
    assert "in use by another service" in capfd.readouterr().err


def test_without_study_features_no_state_is_written(output: Path, calls: Path) -> None:
    with CoordinatorProcess(configuration(output, None, HookPolicy(on_reception=f"echo #p #f >>{calls}"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.1", "CT.1", str(output), None)
        assert worker.hear() == {"kind": "ack", "first": 1, "event": 1}
        assert process.drain() == 0
    assert lines(calls) == [f"{output} CT.1"]
    assert os.listdir(output) == []


def test_without_state_the_worker_keeps_what_has_not_begun(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = HookPolicy(jobs=1, on_reception=f"until test -e {gate}; do sleep 0.01; done; echo #f >>{calls}")
    worker = ScriptedWorker()
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        process.connect(worker)
        worker.open("a")
        for number in (1, 2, 3):
            worker.tell_stored("a", "1.1", f"CT.{number}", str(output), None)
        assert worker.hear() == {"kind": "ack", "first": 1, "event": 1}
        process.kill()
        process.start()
        process.connect(worker, unacknowledged=1)
        worker.open("a")
        for number in (2, 3):
            worker.tell_stored("a", "1.1", f"CT.{number}", str(output), None, event=number)
        gate.touch()
        assert [worker.hear()["event"] for _ in range(2)] == [2, 3]
        assert process.drain() == 0
    assert sorted(wait_for_lines(calls, 3)) == ["CT.1", "CT.2", "CT.3"]


def test_lost_worker_gives_its_studies_free(output: Path, calls: Path) -> None:
    with CoordinatorProcess(configuration(output, BY_UID, HookPolicy(on_end_of_study=f"echo #p >>{calls}"))) as process:
        first, second = process.worker(), process.worker()
        first.open("a")
        second.open("b")
        first.store("a", "1.1", "CT.1")
        first.place("a", "1.1")
        assert first.channel is not None
        first.channel.close()
        wait_until(lambda: second.store("b", "1.2", "CT.1") and lines(calls), "1.1 ended")
        assert lines(calls) == [f"{output}/1.1"]


def test_hooks_inherit_no_descriptor(output: Path, calls: Path) -> None:
    with CoordinatorProcess(configuration(output, BY_UID, HookPolicy(
            on_reception=f"ls -l /proc/self/fd >>{calls}"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        assert process.drain() == 0
    listed = [line.split(" -> ")[-1] for line in lines(calls) if " -> " in line]
    assert not [target for target in listed if target.startswith("socket:") or "eventpoll" in target
                or ".sqlite3" in target]


def test_kill_between_end_and_rename_ends_the_study_once(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, timeout_s=0.3)
    hooks = HookPolicy(on_reception=f"until test -e {gate}; do sleep 0.01; done",
                       on_end_of_study=f'echo #p $FASTSCP_OBJECTS $(ls "$FASTSCP_PATH") >>{calls}')
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        worker.store("a", "1.2", "CT.1")  # 1.1 ends; its rename waits for the hook at the gate
        process.kill()
        gate.touch()
        process.start()
        wait_for_lines(calls, 2)
        assert process.drain() == 0
    assert sorted(lines(calls)) == [f"{output}/1.1 1 CT000001", f"{output}/1.2 1 CT000001"]


def test_late_object_does_not_wait_for_hooks_of_its_finished_study(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, on_late=LateObjects.APPEND)
    hooks = HookPolicy(on_reception=f"until test -e {gate}; do sleep 0.01; done",
                       on_end_of_study=f"echo #p $FASTSCP_OBJECTS >>{calls}")
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        worker.store("a", "1.2", "CT.1")
        worker.store("a", "1.1", "CT.1")  # the same instance again, while the hooks of 1.1 wait at the gate
        assert sorted(os.listdir(output / "1.1")) == ["CT.1", "CT000001"]
        gate.touch()
        assert process.drain() == 0
    assert sorted(os.listdir(output / "1.1")) == ["CT000001", "CT000002"]
    assert sorted(lines(calls)) == [f"{output}/1.1 1", f"{output}/1.1 1", f"{output}/1.2 1"]


def test_object_of_an_unknown_association_is_kept(output: Path, calls: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks = HookPolicy(on_end_of_study=f"echo #p '#a' >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.store("never opened", "1.1", "CT.1")
        assert process.drain() == 0
    assert lines(calls) == [f'{output}/1.1 ""']
    assert "never opened" in capfd.readouterr().err


def test_study_whose_transfer_outlasts_a_coordinator_does_not_end(output: Path, calls: Path) -> None:
    study = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P", timeout_s=1)
    hooks = HookPolicy(on_end_of_study=f'echo "$FASTSCP_STUDY_UID $FASTSCP_OBJECTS" >>{calls}')
    worker = ScriptedWorker()
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        process.connect(worker)
        worker.open("a")
        directory = worker.store("a", "1.1", "CT.1")
        placed = worker.place("a", "1.1")
        process.kill()
        process.start()
        process.connect(worker)
        worker.open("a")
        worker.say(kind="place", request=placed["request"], association="a", study="1.1", patient="", charset="")
        assert worker.hear() == placed
        worker.open("b")
        worker.store("b", "1.2", "CT.1")
        wait_for_lines(calls, 1)  # 1.2 ended by its timeout, 1.1 did not
        Path(directory, "CT.2").write_text("x")
        worker.tell_stored("a", "1.1", "CT.2", directory, placed["request"])
        wait_for_lines(calls, 2)
    assert lines(calls) == ["1.2 1", "1.1 2"]


def test_object_placed_before_the_kill_and_published_after_it(output: Path) -> None:
    config = configuration(output, StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P"))
    worker = ScriptedWorker()
    with CoordinatorProcess(config) as process:
        process.connect(worker)
        worker.open("a")
        placed = worker.place("a", "1.1")
        process.kill()
        process.start()
        process.connect(worker)
        worker.open("a")
        Path(placed["directory"], "CT.1").write_text("x")
        event = worker.tell_stored("a", "1.1", "CT.1", placed["directory"], placed["request"])
        assert worker.hear() == {"kind": "ack", "first": event, "event": event}
        assert worker.store("a", "1.1", "CT.2") == placed["directory"]
        assert process.drain() == 0
    assert sorted(os.listdir(placed["directory"])) == ["CT.1", "CT.2"]


def test_packets_that_cannot_be_handled_end_nothing(output: Path) -> None:
    config = configuration(output, StudyPolicy(sorting=Sorting.STUDY_UID))
    with CoordinatorProcess(config) as process:
        worker = process.worker()
        worker.open("a")
        assert worker.channel is not None
        for octets in (b"{", b"[]", b'{"kind": "closed"}', b'{"kind": "what"}', b'{"kind": "stored", "event": 1}'):
            worker.channel.send(octets)
        assert worker.hear() == {"kind": "failed", "event": 1}
        process.control.send(b"{")
        process.control.send(b'{"kind": "what"}')
        next(worker.events)
        directory = worker.store("a", "1.2.3", "CT.1")
        assert process.drain() == 0
    assert os.listdir(directory) == ["CT.1"]
