"""CPU time of a tree to the last child, the tables of strace and perf, percentiles, messages that senders send."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fastscp.dimse.command import decode_command
from perf import measure, paced
from perf.loads import LOADS, PLACEHOLDER, STUDY_PLACEHOLDER, instance_uid, load, study_uid
from perf.sender import Message
from tests.support.servers import wait_until

KEEPER = Path(__file__).parents[2] / "perf" / "keeper.py"
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
#: its child leaves a grandchild behind, works no more, and lives on; the grandchild burns and ends
ORPHAN = f"""
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        {BURN.replace(chr(10), chr(10) + '        ')}
        open(sys.argv[1], "w").close()
    os._exit(0)
os.wait()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def orphaned(tmp_path: Path) -> Iterator[psutil.Process]:
    done = tmp_path / "done"
    with subprocess.Popen([sys.executable, KEEPER, sys.executable, "-c", ORPHAN, done], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kept:
        wait_until(done.exists, "the grandchild burnt")
        yield psutil.Process(kept.pid)
        kept.stdin.close()
    assert kept.returncode == 0


def test_what_a_child_leaves_behind_is_counted(orphaned: psutil.Process) -> None:
    wait_until(lambda: measure.cpu_seconds(orphaned) >= 0.29, "the grandchild was reaped and is counted")


def test_keeper_hands_a_termination_on_and_tells_how_it_ended() -> None:
    with subprocess.Popen([sys.executable, KEEPER, "sleep", "1000"]) as kept:
        wait_until(lambda: psutil.Process(kept.pid).children(), "the server was started")
        kept.terminate()
        assert kept.wait(30) == 15


def test_only_own_time_of_processes_with_a_title() -> None:
    with subprocess.Popen([sys.executable, KEEPER, sys.executable, "-c", BURN + "import sys; sys.stdin.read()", "coordinator"],
                          stdin=subprocess.PIPE) as kept:
        process = psutil.Process(kept.pid)
        wait_until(lambda: measure.cpu_seconds(process, "coordinator") >= 0.29, "its time is counted")
        assert measure.cpu_seconds(process, "worker") == 0
        assert measure.memory_octets(process) > 1_000_000
        kept.stdin.close()


@pytest.mark.parametrize(("values", "percent", "found"), [
    ([5], 50, 5), ([1, 2, 3, 4], 50, 2), (range(1, 101), 99, 99), (range(1, 102), 99, 100), ([3, 1, 2], 100, 3), ([3, 1, 2], 0, 1)])
def test_percentiles(values: list[float], percent: float, found: float) -> None:
    assert measure.percentile(list(values), percent) == found


def test_table_of_strace() -> None:
    assert measure.read_strace(
        "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n"
        " 60.00    0.000300           3       100           sendto\n 40.00    0.000200           2        50        12 openat\n"
        "------ ----------- ----------- --------- --------- ----------------\n100.00    0.000500           3       150        12 total\n",
    ) == {"sendto": 100, "openat": 50}


def test_line_of_perf() -> None:
    assert measure.read_perf("# started on x\n\n1234,,raw_syscalls:sys_enter,1000,100.00,,\n") == 1234
    assert measure.read_perf("<not supported>,,raw_syscalls:sys_enter,0,0.00,,\n") == 0


def test_calls_are_counted_or_it_is_said_why_not() -> None:
    if measure.why_no_calls():
        pytest.skip(measure.why_no_calls())
    line = [sys.executable, "-u", "-c", "import os, sys\nfor _ in sys.stdin:\n    [os.getppid() for _ in range(500)]\n    print('done')"]
    with subprocess.Popen([sys.executable, KEEPER, *line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kept:
        process = psutil.Process(kept.pid)
        wait_until(lambda: measure.tree(process), "it was started")
        try:
            with measure.counted_calls(process) as calls:
                kept.stdin.write(b"\n")
                kept.stdin.flush()
                assert kept.stdout.readline() == b"done\n"
        except RuntimeError as error:  # a container that does not let us
            pytest.skip(str(error))
        finally:
            kept.stdin.close()
    assert 500 <= calls.total < 700
    assert not calls.names or calls.names["getppid"] == 500


@pytest.mark.parametrize("name", [name for name in LOADS if name != "200mb"])
@pytest.mark.parametrize("max_pdu", [16384, 131072, 0])
def test_messages_are_whole_and_have_the_uids_of_each_object(name: str, max_pdu: int) -> None:
    message, instance, study = Message(load(name), 5, max_pdu), instance_uid(3, 17), study_uid(3, 1)
    message.numbered(instance_uid(1, 1), study_uid(1, 1))
    octets = bytes(message.numbered(instance, study))
    found: dict[int, bytes] = {0: b"", 1: b""}
    flags = []
    while octets:
        length = int.from_bytes(octets[2:6], "big")
        assert octets[0] == 4
        assert length <= (max_pdu or 131072)
        assert int.from_bytes(octets[6:10], "big") == length - 4
        assert octets[10] == 5
        flags.append(octets[11])
        found[octets[11] & 1] += octets[12 : 6 + length]
        octets = octets[6 + length :]
    assert flags == [3, *[0] * (len(flags) - 2), 2]
    command = decode_command(found[1])
    assert (command.affected_sop_class_uid, command.affected_sop_instance_uid) == (load(name).sop_class, instance)
    assert found[0] == load(name).data_set.replace(PLACEHOLDER.encode(), instance.encode()).replace(STUDY_PLACEHOLDER.encode(), study.encode())


def test_uids_of_senders_and_numbers_differ() -> None:
    assert len({instance_uid(sender, number) for sender in range(16) for number in range(100)}) == 1600
    assert {len(uid(sender, number)) for uid in (instance_uid, study_uid) for sender in (0, 15) for number in (0, 10**6)} == {44}


def test_paced_network_is_made_and_removed_or_it_is_said_why_not() -> None:
    why = paced.why_not()
    if why:
        assert why.startswith(("a paced network needs", "no paced network here"))
        return
    with paced.Network() as network:
        namespace = os.path.join("/run/netns", network._name)
        assert os.path.exists(namespace)
        shown = subprocess.run([shutil.which("tc"), "qdisc", "show", "dev", network._link], capture_output=True, text=True, check=True)
        assert "tbf" in shown.stdout
    assert not os.path.exists(namespace)
    assert subprocess.run(["ip", "link", "show", network._link], capture_output=True, check=False).returncode
