"""Hooks of the whole service: what peers send over the wire, and who waits for whom."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until

TITLES = ["$(touch CANARY)", "`touch CANARY`", ";touch CANARY;", "';touch CANARY'", '";touch CANARY"', "|touch CANARY&",
          "\\';touch CANARY", "$IFS;>CANARY", "../../CANARY", "-rf"]
COMMANDS = ["printf '[%s]' #a #c #r #p #f", "printf '[%s]' '#a' '#c' '#r' '#p' '#f'",
            'printf "[%s]" "#a" "#c" "#r" "#p" "#f"', "printf '[%s]' \\#a x#c\"#r\"'#p'#f"]


def lines(path: Path) -> list[str]:
    """Return the complete lines of a file that hooks append to."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_from_the_wire_is_executed(tmp_path: Path, command: str) -> None:
    (tmp_path / "out").mkdir()
    options = ["-od", "out", "-sp", "-dhl", "-xcr", f"{{ {command}; echo; }} >>calls",
               "-xcs", f"{{ {command.replace('#f', 'f')}; echo; }} >>calls"]
    with FastscpServer(options, cwd=tmp_path) as server:
        for number, title in enumerate(TITLES):
            with RawSCU("127.0.0.1", server.port) as scu:
                scu.associate(CT_CONTEXT, calling=title, called=title[::-1])
                instance = f"1.2.{number}" + title.replace("CANARY", "C").replace("\\", "")  # one value
                octets = data_set(instance, study=f"1.3.{number}{title}", patient=f"{title}^{title}", pixels=16)
                assert scu.store(1, CT, instance, octets) == 0
                scu.release()
        assert server.stop() == 0
    assert len(lines(tmp_path / "calls")) == 2 * len(TITLES)
    assert sorted(os.listdir(tmp_path)) == ["calls", "out"]
    assert not list((tmp_path / "out").rglob("CANARY"))


@pytest.mark.parametrize("command", ["echo $(basename #f)", "echo `echo #a`", "cat <<E\n#a\nE", "echo ${X:-#r}"])
def test_unsafe_templates_are_refused_at_start(tmp_path: Path, command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp", "-od", str(tmp_path), "-xcr", command, "11112"],
                          capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "--exec-on-reception" in done.stderr
    assert "cannot be replaced safely" in done.stderr


def test_synchronous_hook_delays_its_own_association_only(tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    (tmp_path / "out").mkdir()
    options = ["-od", "out", "-dhl", "-xs", "-xcr",
               f"test '#a' = '\"OTHER\"' || until test -e {gate}; do sleep 0.01; done; echo #a #f >>{calls}"]
    with FastscpServer(options, cwd=tmp_path) as server, RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT, calling="WAITING")
        assert scu.store(1, CT, "1.2.1", data_set("1.2.1", pixels=16)) == 0
        statuses: list[int] = []
        second = threading.Thread(target=lambda: statuses.append(scu.store(1, CT, "1.2.2", data_set("1.2.2"))))
        second.start()
        with RawSCU("127.0.0.1", server.port) as other:
            other.associate(CT_CONTEXT, calling="OTHER")
            for number in range(3, 6):
                assert other.store(1, CT, f"1.2.{number}", data_set(f"1.2.{number}")) == 0
            other.release()
        wait_until(lambda: len(lines(calls)) == 3, "the other association's hooks")
        assert statuses == []
        assert not (tmp_path / "out" / "CT.1.2.2").exists()
        gate.touch()
        second.join(20)
        assert statuses == [0]
        scu.release()
    assert lines(calls)[3:] == ["WAITING CT.1.2.1", "WAITING CT.1.2.2"]


def test_service_answers_on_while_every_hook_hangs(tmp_path: Path) -> None:
    gate, calls = tmp_path / "gate", tmp_path / "calls"
    (tmp_path / "out").mkdir()
    options = ["-od", "out", "-dhl", "--hook-jobs", "2", "-xcr", f"until test -e {gate}; do sleep 0.01; done; echo #f >>{calls}"]
    with FastscpServer(options, cwd=tmp_path) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            for number in range(20):
                assert scu.store(1, CT, f"1.2.{number}", data_set(f"1.2.{number}", pixels=16)) == 0
            scu.release()
        assert lines(calls) == []
        gate.touch()
        assert server.stop() == 0
    assert sorted(lines(calls)) == sorted(f"CT.1.2.{number}" for number in range(20))
