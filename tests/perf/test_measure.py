"""CPU time of a tree to the last child, the tables of strace and perf, what senders send."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fastscp.blast.numbering import INSTANCE, STUDY
from perf import measure, paced
from perf.loads import EXPLICIT_LE, LOADS, PLACEHOLDER, STUDY_PLACEHOLDER, load
from perf.sending import templates_of
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
    line = [sys.executable, "-u", "-c", "import os, sys\nprint('ready')\nfor _ in sys.stdin:\n    [os.getppid() for _ in range(500)]\n    print('done')"]
    with subprocess.Popen([sys.executable, KEEPER, *line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as kept:
        process = psutil.Process(kept.pid)
        assert kept.stdout.readline() == b"ready\n"
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
def test_loads_are_sent_with_uids_of_each_object(name: str) -> None:
    (found,) = templates_of([load(name)])
    uids = {spot.kind: bytes(found.data[spot.offset : spot.offset + spot.octets]).decode() for spot in found.spots}
    assert (uids[INSTANCE], uids[STUDY]) == (PLACEHOLDER, STUDY_PLACEHOLDER)
    assert (found.sop_class, found.transfer_syntax) == (load(name).sop_class, EXPLICIT_LE)


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
