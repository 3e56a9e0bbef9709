"""Options that storescp does not have, each seen at work in the running service."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, Server, wait_until

ROOT = Path(__file__).parents[2]


def send(server: Server, *objects: tuple[str, str]) -> list[str]:
    """Send objects given as (study, series) over one association; return their instance UIDs."""
    uids = []
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        for study, series in objects:
            uid = fresh_uid()
            assert scu.store(1, CT, uid, data_set(uid, study=study, series=series)) == 0
            uids.append(uid)
        scu.release()
    return uids


def lines(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def test_help_names_every_group() -> None:
    shown = subprocess.run([sys.executable, "-m", "fastscp", "--help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "output options" in shown
    assert "--exec-argv" in shown


def test_exec_argv_runs_without_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\nprintf "[%s]" "$@" >>{tmp_path}/calls\necho >>{tmp_path}/calls\n')
    script.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    with FastscpServer(["-od", out, "--exec-argv", "-xcr", f"{script} 'a  b' $HOME;#f"]) as server:
        uid, = send(server, ("1.2", "1.3"))
        wait_until(lambda: lines(tmp_path / "calls"), "the hook ran")
    assert lines(tmp_path / "calls") == [f"[a  b][$HOME;CT.{uid}]"]


def test_hook_timeout_ends_a_hook_that_hangs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    hook = f"echo started >>{tmp_path}/calls; test -e {tmp_path}/first || {{ : >{tmp_path}/first; sleep 600; }}; echo ended >>{tmp_path}/calls"
    with FastscpServer(["-od", out, "--hook-jobs", "1", "--hook-timeout", "1", "-xcr", hook]) as server:
        send(server, ("1.2", "1.3"), ("1.2", "1.3"))
        wait_until(lambda: "ended" in lines(tmp_path / "calls"), "the second hook ran")
        assert lines(tmp_path / "calls") == ["started", "started", "ended"]
        assert not [process for process in server.family() if process.name() == "sleep"]


def test_end_of_series_manifest_and_state_directory(tmp_path: Path) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    out.mkdir()
    with FastscpServer(["-od", out, "-su", "P", "--state-dir", state, "--study-manifest",
                        "--exec-on-eoseries", f"echo series $FASTSCP_SERIES_UID >>{tmp_path}/calls",
                        "-xcs", f"echo study $FASTSCP_MANIFEST >>{tmp_path}/calls"]) as server:
        uids = send(server, ("1.2", "1.3"), ("1.2", "1.4"))
        assert os.listdir(state)
        assert not (out / ".fastscp").exists()
        server.stop()
    manifest = out / "P_1.2" / "manifest.json"
    called = lines(tmp_path / "calls")
    assert sorted(called[:2]) == ["series 1.3", "series 1.4"]
    assert called[2:] == [f"study {manifest}"]
    counts = json.loads(manifest.read_text())["counts"]
    assert (counts["series"], counts["instances"]) == (2, len(uids))


def test_study_of_the_maximum_age_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FastscpServer(["-od", out, "-su", "P", "--study-max-age", "1", "-xcs", f"echo '#p' >>{tmp_path}/calls"]) as server:
        send(server, ("1.2", "1.3"))
        wait_until(lambda: lines(tmp_path / "calls"), "the study ended by its age")
        assert lines(tmp_path / "calls") == [f"{out}/P_1.2"]


def test_late_object_is_appended_to_its_study(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FastscpServer(["-od", out, "-ss", "P", "-rns", "--on-late", "append", "-tos", "1", "-xcs", f"echo '#p' >>{tmp_path}/calls"]) as server:
        send(server, ("1.2", "1.3"))
        wait_until(lambda: len(lines(tmp_path / "calls")) == 1, "the study ended")
        send(server, ("1.2", "1.3"))
        wait_until(lambda: len(lines(tmp_path / "calls")) == 2, "the study ended again")
    first, second = lines(tmp_path / "calls")
    assert first == second
    assert sorted(os.listdir(first)) == ["CT000001", "CT000002"]


def test_event_digest_is_the_digest_of_the_file(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "events"
    out.mkdir()
    with FastscpServer(["-od", out, "--event-log", log, "--event-digest"]) as server:
        uid, = send(server, ("1.2", "1.3"))
        server.stop()
    digests = [event["sha256"] for event in map(json.loads, lines(log)) if event.get("sha256")]
    assert digests == [hashlib.sha256((out / f"CT.{uid}").read_bytes()).hexdigest()]


def test_series_ends_with_the_first_object_of_another(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FastscpServer(["-od", out, "-su", "P", "--exec-on-eoseries", f"echo $FASTSCP_SERIES_UID >>{tmp_path}/calls"]) as server:
        send(server, ("1.2", "1.3"), ("1.2", "1.3"), ("1.2", "1.4"))
        wait_until(lambda: lines(tmp_path / "calls"), "the first series ended")
        assert lines(tmp_path / "calls") == ["1.3"]
