"""Every example in docs/examples/ is run, as it says, with real clients."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastscp.cli import conv
from tests.process.test_receiver import send, write_object
from tests.support import objects
from tests.support.rawscu import RawSCU
from tests.support.servers import free_port, wait_until

pytestmark = pytest.mark.oracle

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@contextmanager
def running(name, *arguments):
    """Run an example until the block ends; everything it prints is in its ``said``."""
    with subprocess.Popen([sys.executable, EXAMPLES / name, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, cwd=EXAMPLES.parents[1]) as program:
        try:
            yield program
        finally:
            if program.poll() is None:
                program.terminate()


def line_with(program, text):
    said = []
    for line in iter(program.stdout.readline, ""):
        said.append(line)
        if text in line:
            return line
    raise AssertionError(f"not said: {text}\n" + "".join(said))


def test_every_example_has_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in text] == []
    assert len(list(EXAMPLES.glob("*.py"))) >= 4


def test_examples_stand_in_the_page():
    page = (EXAMPLES.parent / "embedding.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"(examples/{path.name})" not in page] == []


def test_embedding(tmp_path):
    (tmp_path / "out").mkdir()
    port, uid = free_port(), objects.fresh_uid()
    with running("embedding.py", tmp_path / "out", port) as program:
        line_with(program, "listening on")
        wait_until(lambda: send(port, write_object(tmp_path / "1.dcm", uid)) == 0, "stored")
        assert line_with(program, "CT1 sent").startswith(f"CT1 sent CT {uid}, ")
        program.terminate()
        assert line_with(program, "is complete").startswith("study 1.2.3.4 is complete: 1 objects in ")
        assert program.wait(60) == 0


def test_receive_in_a_block():
    with running("receive_in_a_block.py") as program:
        said, _ = program.communicate(timeout=100)
    assert re.fullmatch(r"it answers on port \d+\n0 objects arrived, the service has ended: True\n", said)


def test_rewrite(tmp_path):
    uid = objects.fresh_uid()
    source = write_object(tmp_path / "in.dcm", uid)
    with running("rewrite.py", source, tmp_path / "out.dcm") as program:
        said, _ = program.communicate(timeout=100)
    assert conv.main(["+te", "-e", str(source), str(tmp_path / "conv.dcm")]) == 0
    assert (tmp_path / "out.dcm").read_bytes() == (tmp_path / "conv.dcm").read_bytes()
    assert said == f"{uid} {hashlib.sha256((tmp_path / 'out.dcm').read_bytes()).hexdigest()}\n"


def test_asyncio_scp(tmp_path):
    """echoscu, storescu with several objects, dcmsend with small PDUs, an abort, a broken object, and silence."""
    with running("asyncio_scp.py", tmp_path, 0) as program:
        port = int(line_with(program, "listening on port").split()[-1])
        echo = subprocess.run(["echoscu", "-v", "-aec", "ASYNCIO", "127.0.0.1", str(port)], capture_output=True, text=True, check=False)
        assert echo.returncode == 0, echo.stderr
        uids = [objects.fresh_uid() for _ in range(5)]
        paths = [write_object(tmp_path / f"{number}.in", uid) for number, uid in enumerate(uids)]
        assert send(port, *paths) == 0
        assert subprocess.run(["storescu", "--max-pdu", "4096", "--abort", "127.0.0.1", str(port), str(paths[0])], check=False).returncode == 0
        with RawSCU("127.0.0.1", port) as scu:
            scu.associate(objects.CT_CONTEXT)
            broken = objects.fresh_uid()
            assert scu.store(1, objects.CT, broken, objects.data_set(broken)[:-100]) == 0xC000
            assert scu.store(1, objects.CT, uids[0], objects.data_set(uids[0]), pdv_size=64) == 0
            scu.release()
        for number, uid in enumerate(uids):
            assert conv.main([str(paths[number]), str(tmp_path / "conv.dcm")]) == 0
            expected = (tmp_path / "conv.dcm").read_bytes()
            written = (tmp_path / f"{uid}.dcm").read_bytes()
            assert written[-2000:] == expected[-2000:]
        assert not (tmp_path / f"{broken}.dcm").exists()
        assert shutil.which("dcmsend")
        assert subprocess.run(["dcmsend", "-aec", "ASYNCIO", "127.0.0.1", str(port), *map(str, paths)], check=False).returncode == 0


WRONG = """
from pathlib import Path
from fastscp import Receiver, ReceiverOptions, StoredObject
from fastscp.dicom import MemorySink, rewrite

def right(stored: StoredObject) -> None: ...
def wrong(stored: int) -> None: ...

options: ReceiverOptions = {"max_pdu": 65536, "output_directory": Path("in")}
Receiver(port=1, on_object=right, **options)
Receiver(port=1, max_pud=65536)  # 1
Receiver(port=1, max_pdu="65536")  # 2
Receiver(port=1, sync="always")  # 3
Receiver(port=1, on_object=wrong)  # 4
rewrite(3, MemorySink())  # 5
rewrite(b"", bytearray())  # 6
"""


@pytest.mark.slow
def test_a_checker_knows_the_types(tmp_path):
    """The examples are right by mypy's strict mode; mistakes are found, and nothing else."""
    (tmp_path / "wrong.py").write_text(WRONG)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *EXAMPLES.glob("*.py"), tmp_path / "wrong.py"], capture_output=True,
                          text=True, check=False, cwd=EXAMPLES.parents[1])
    found = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line]
    assert found == [number for number, line in enumerate(WRONG.split("\n"), 1) if "  # " in line], done.stdout
