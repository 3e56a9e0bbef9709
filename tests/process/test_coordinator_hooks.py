"""Hooks of the coordinator process: what they get, how they run, what can go wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from tests.support.coordination import CoordinatorProcess, ScriptedWorker, configuration
from tests.support.servers import wait_until

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)
BY_NAME = StudyPolicy(sorting=Sorting.PATIENT_NAME)

PAYLOADS = [
    "$(touch CANARY)", "`touch CANARY`", ";touch CANARY;", "|touch CANARY", "&touch CANARY&", "\ntouch CANARY\n",
    "';touch CANARY;'", '";touch CANARY;"', "\\';touch CANARY;\\'", '\\";touch CANARY;\\"', "'$(touch CANARY)'",
    '"$(touch CANARY)"', '"`touch CANARY`"', "${IFS}touch${IFS}CANARY", ">CANARY", "<(touch CANARY)", "#;touch CANARY",
    "\\", "\\\\", "'", '"', "''", "a\0;touch CANARY", "\x1b[31m;touch CANARY", "*", "~", "!!", "%s%n", "-rf /", "\xe9\xff",
    "$((`touch CANARY`))", "'\"'\"';touch CANARY;'\"'\"'", "() { :;}; touch CANARY", "$'\\x3btouch CANARY'",
]
#: every quoting position; each prints one line per value
POSITIONS = [
    "printf '%s\\n' #p #f #a #c #r", 'printf "%s\\n" "#p" "#f" "#a" "#c" "#r"',
    "printf '%s\\n' '#p' '#f' '#a' '#c' '#r'", "printf '%s\\n' \\#p \\#f \\#a \\#c \\#r",
    "printf '%s\\n' x#p/#f.done \"a#ab\"'#c'#r", 'printf "%s\\n" "\\#p" "\\#a" "$(echo x)#r"',
    "sh -c 'printf \"%s\\n\" \"$@\"' - #p '#f' \"#a\" #c", "sh -c \"echo '#a' #c #r\"", "sh -c 'echo #f #a'",
    "echo '#a,#c,#r,#p,#f' ; echo \"it's #a\"", "eval echo #a #c #r",
]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
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


@pytest.mark.parametrize("position", POSITIONS)
def test_hostile_texts_execute_nothing(output: Path, calls: Path, position: str) -> None:
    hooks = HookPolicy(on_reception=f"{{ {position} ; echo done ; }} >>{calls} 2>&1",
                       on_end_of_study=f"{{ {position.replace('#f', 'f')} ; env | grep FASTSCP ; }} >/dev/null 2>&1")
    with CoordinatorProcess(configuration(output, BY_NAME, hooks)) as process:
        worker = process.worker()
        for number, payload in enumerate(PAYLOADS):
            name = f"a{number}"
            worker.open(name, calling=payload[:16], called=payload[-16:], peer=payload)
            answer = worker.place(name, f"1.2.{number}{payload}", patient=payload)
            assert answer["status"] == 0
            worker.tell_stored(name, f"1.2.{number}{payload}", f"CT.{number}", answer["directory"],
                               answer["request"], sop_instance=payload, modality=payload, series=payload)
            assert worker.hear()["kind"] == "ack"
        assert process.drain() == 0
    assert lines(calls).count("done") == len(PAYLOADS)
    assert os.listdir() == []
    assert not [name for name in os.listdir(output) if "CANARY" in name and " " in name]


def test_paths_with_odd_characters_arrive_as_one_word_everywhere(tmp_path: Path, output: Path, calls: Path) -> None:
    odd = tmp_path / "o'd d \"$(touch CANARY)\" `x` \\ $HOME"
    odd.mkdir()
    command = f"printf '[%s]' #p/#f.x \"#p\" '#p' \\#p >>{calls}"
    with CoordinatorProcess(configuration(odd, None, HookPolicy(on_reception=command))) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.1", "CT.1 $(x)'", str(odd), None)
        assert process.drain() == 0
    assert calls.read_text() == f"[{odd}/CT.1 $(x)'.x][{odd}][{odd}][{odd}]"
    assert os.listdir() == []


def test_values_as_placeholders_and_variables(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_reception=(
        f"printf '%s|' #a '#a' \"#a\" #c '#r' \"$FASTSCP_CALLING_AET\" \"$FASTSCP_PEER\" \"$FASTSCP_PATH\" "
        f'"$FASTSCP_FILE" "$FASTSCP_EVENT" "$FASTSCP_STUDY_UID" >>{calls}'))
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.open("a", calling="CT ONE ", called="ST;ORE", peer="10.0.0.1")
        worker.store("a", "1.1", "CT.1")
        assert process.drain() == 0
    assert calls.read_text() == (f'CT ONE|"CT ONE"|CT ONE|ST_ORE|10.0.0.1|CT ONE|10.0.0.1|{output}/1.1|CT.1|'
                                 "reception|1.1|")


def test_programs_without_a_shell_get_plain_arguments(output: Path, calls: Path) -> None:
    script = output.parent / "script"
    script.write_text(f'#!/bin/sh\nprintf "[%s]" "$@" >>{calls}\n')
    script.chmod(0o755)
    hooks = HookPolicy(on_reception=f"{script} '#a' x#f;id '$(id)'", argv=True)
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        worker = process.worker()
        worker.open("a", calling="A B")
        worker.tell_stored("a", "1.1", "CT.1", str(output), None)
        assert process.drain() == 0
    assert calls.read_text() == "[A B][xCT.1;id][$(id)]"


def test_ignored_objects_have_no_path(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_reception=f'echo "#a #p #f" >>{calls}')
    with CoordinatorProcess(configuration(output, BY_UID, hooks, ignore=True)) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.1", "", "", None)
        assert process.drain() == 0
    assert lines(calls) == ["SCU #p #f"]
    assert os.listdir(output) == []


def test_slow_hook_holds_nobody_back_and_no_later_hook_is_lost(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = HookPolicy(on_reception=f"test #f != CT.0 || until test -e {gate}; do sleep 0.01; done; echo #f >>{calls}")
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        for number in range(20):
            worker.tell_stored("a", "1.1", f"CT.{number}", str(output), None)
        assert {worker.hear()["kind"] for _ in range(20)} == {"ack"}
        assert sorted(wait_for_lines(calls, 19)) == sorted(f"CT.{number}" for number in range(1, 20))
        gate.touch()
        assert process.drain() == 0
    assert len(lines(calls)) == 20


def test_no_more_hooks_at_once_than_allowed(output: Path, calls: Path, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    hooks = HookPolicy(jobs=2, on_reception=(
        f"touch {running}/#f; ls {running} | wc -l >>{calls}; sleep 0.05; rm {running}/#f"))
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        for number in range(10):
            worker.tell_stored("a", "1.1", f"CT.{number}", str(output), None)
        assert process.drain() == 0
    assert len(lines(calls)) == 10
    assert {int(line) for line in lines(calls)} <= {1, 2}


def test_hooks_of_one_study_run_in_order(output: Path, calls: Path) -> None:
    hooks = HookPolicy(on_reception=f"test #f = CT.5 || sleep 0.02; echo #f >>{calls}",
                       on_end_of_study=f"echo study >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        for number in range(8):
            worker.store("a", "1.1", f"CT.{number}")
        assert process.drain() == 0
    assert lines(calls) == [*(f"CT.{number}" for number in range(8)), "study"]


def test_hook_past_its_time_is_killed_with_all_its_children(output: Path, calls: Path, tmp_path: Path,
                                                           capfd: pytest.CaptureFixture[str]) -> None:
    pids = tmp_path / "pids"
    hooks = HookPolicy(timeout_s=0.3, on_reception=(
        f"test #f = CT.1 || exit 0; trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >>{pids}; sleep 600' & "
        f"echo $$ >>{pids}; wait; wait"), on_end_of_study=f"echo #p >>{calls}")
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        worker.store("a", "1.2", "CT.2")
        assert wait_for_lines(calls, 1) == [f"{output}/1.1"]
        wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in lines(pids)), "the group is gone")
        assert len(lines(pids)) == 2
    assert "takes longer than 0.3 seconds" in capfd.readouterr().err


def test_exit_statuses_are_logged_and_zombies_reaped(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks = HookPolicy(on_reception="test #f = CT.1 && exit 7; kill -9 $$")
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        for number in (1, 2):
            worker.tell_stored("a", "1.1", f"CT.{number}", str(output), None)
            assert worker.hear()["kind"] == "ack"
        wait_until(lambda: not psutil.Process(process.pid).children(), "hooks reaped")
        assert process.drain() == 0
    log = capfd.readouterr().err
    assert "ended with exit status 7" in log
    assert "was ended by signal 9" in log


def test_program_that_cannot_be_started_is_logged(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hooks = HookPolicy(on_reception="/nowhere/program #f", argv=True)
    with CoordinatorProcess(configuration(output, None, hooks)) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.1", "CT.1", str(output), None)
        assert process.drain() == 0
    assert "/nowhere/program" in capfd.readouterr().err


def test_hooks_write_to_our_standard_output_and_read_nothing(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with CoordinatorProcess(configuration(output, None, HookPolicy(on_reception="cat; echo seen; echo #f 1>&2"))) as process:
        worker = process.worker()
        worker.open("a")
        worker.tell_stored("a", "1.1", "CT.1", str(output), None)
        assert process.drain() == 0
    captured = capfd.readouterr()
    assert captured.out == "seen\n"
    assert captured.err == "CT.1\n"


def test_synchronous_hooks_are_told_when_they_ended(output: Path, calls: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    hooks = HookPolicy(synchronous=True, on_reception=f"echo #f >>{calls}", on_end_of_study=(
        f"until test -e {gate}; do sleep 0.01; done; echo #p >>{calls}"))
    with CoordinatorProcess(configuration(output, BY_UID, hooks)) as process:
        one, two = process.worker(), process.worker()
        one.open("a")
        two.open("b")
        one.store("a", "1.1", "CT.1")
        assert one.hear() == {"kind": "ran", "event": 1}
        one.store("a", "1.2", "CT.2")  # its end-of-study hook for 1.1 waits at the gate
        assert wait_for_lines(calls, 2) == ["CT.1", "CT.2"]
        two.store("b", "1.3", "CT.3")
        assert two.hear() == {"kind": "ran", "event": 1}
        assert one.hears_nothing()
        gate.touch()
        assert one.hear() == {"kind": "ran", "event": 2}
        assert lines(calls) == ["CT.1", "CT.2", "CT.3", f"{output}/1.1"]


def test_synchronous_mode_without_a_hook_for_the_event_says_so_at_once(output: Path) -> None:
    hooks = HookPolicy(synchronous=True, on_end_of_study="true")
    with CoordinatorProcess(configuration(output, StudyPolicy(sorting=Sorting.STUDY_UID), hooks)) as process:
        worker: ScriptedWorker = process.worker()
        worker.open("a")
        worker.store("a", "1.1", "CT.1")
        assert worker.hear() == {"kind": "ran", "event": 1}
