"""Every command of the documents, as it is pasted, page by page, on a machine of its own (``tests.support.machine``).

What a reader has before he begins (directories, keys, a receiver to load) is in ``READERS``. Whatever becomes a service is sent
two objects, and ends with status 0. That every command is either run here or says why not, ``test_blocks.py`` looks at.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.documents.test_blocks import ELSEWHERE
from tests.support.blocks import PAGES, ROOT, blocks_of, name_of

SAMPLES = [get_testdata_file(name) for name in ("CT_small.dcm", "MR_small.dcm")]
SEND = """\
port=$(ss -Hltn | grep -oE ':(104|11112|2762) ' | head -n 1 | tr -d ': ')
echoscu -aec GATEWAY localhost "$port"
storescu -aec GATEWAY --invent-instance localhost "$port" *.dcm
"""
DIRECTORIES = "mkdir -p /data/in && chmod 777 /data/in"
USER = "useradd --system dicom"
#: scripts/serve as it is the second time
SET_UP = "source scripts/environment && sources_state >$venv/.installed"


def program(*names: str) -> str:
    """Return what makes programs that hooks call."""
    return "".join(f"printf '#!/bin/sh\\necho \"$0 $*\" >>/data/ran\\n' >{name} && chmod +x {name}\n" for name in names)


@dataclass(frozen=True)
class Reader:
    """What is there before the first command of a page, what is sent to its services, and what has to hold at its end."""

    before: tuple[str, ...] = (DIRECTORIES,)
    send: str = SEND
    after: tuple[str, ...] = ()
    directory: str = "/home/reader"
    limit_s: float = 60.0  #: for each step


READERS = {
    "README.md": Reader(
        (DIRECTORIES, SET_UP, program("/usr/local/bin/notify")), directory=str(ROOT),
        after=("ls received/CT.*", "grep -q '^/usr/local/bin/notify /data/in/STUDY_' /data/ran")),
    "perf/README.md": Reader(directory=str(ROOT)),
    "docs/access-control.md": Reader(),
    "docs/blast.md": Reader((DIRECTORIES, "fastscp -od /data/in 11112 &"), after=("test -s blast.json",)),
    "docs/commitment.md": Reader(send=SEND.replace("--invent-instance", "")),  # one of them is asked for
    "docs/configuration.md": Reader(("mkdir -p /data/in /data/ct",), send="! echoscu localhost 11112"),
    "docs/from-storescp.md": Reader(send="", after=("test $(find /data/old -type f | wc -l) = 2",)),
    "docs/ingest.md": Reader((
        DIRECTORIES, "mkdir -p /mnt/archive/a /media/cdrom && cp *.dcm /mnt/archive/a && echo text >/mnt/archive/readme.txt",
        "tar -czf old.tar.gz *.dcm && cp CT_small.dcm /media/cdrom/IM1 && cd /media/cdrom && dcmmkdir IM1"), after=("test -s done.jsonl",)),
    "docs/operations.md": Reader((DIRECTORIES, USER)),
    "docs/quarantine.md": Reader(("mkdir -p /data/in /data/odd",)),
    "docs/security.md": Reader((DIRECTORIES, USER)),
    "docs/studies-and-hooks.md": Reader(("mkdir -p /data/in /in /done", program("ready", "import", "notify", "forward")), after=(
        "grep -q '^./ready /data/in/STUDY_' /data/ran", "grep -q '^./import /done/STUDY_' /data/ran",
        "grep -q '^./notify --study /data/in/STUDY_' /data/ran", "grep -q '^./forward /data/in/S_' /data/ran", "grep -q ' came from ' /data/log")),
    "docs/tls.md": Reader(send=""),
}


def commands(directory: Path) -> Path:
    """Make a directory with this project's commands and its Python, and with nothing else (pynetdicom has a storescp, too)."""
    directory.mkdir()
    programs = Path(sys.executable).parent
    for name in ["python3", *(found.name for found in programs.glob("fastscp*"))]:
        (directory / name).write_text(f'#!/bin/sh\nexec {programs / name} "$@"\n')
        (directory / name).chmod(0o755)
    return directory


RUN = [page for page in PAGES if name_of(page) not in ELSEWHERE and any(block.is_command and not block.reason for block in blocks_of(page))]


needs_root = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: a machine of its own is made of namespaces")
pytestmark = [pytest.mark.slow, pytest.mark.oracle]


def test_every_page_with_a_reader_has_commands() -> None:
    assert set(READERS) <= {name_of(page) for page in RUN}


def tried(reader: Reader, steps: list[dict[str, str | None]], directory: Path) -> dict[str, Any]:
    """Run the steps on a machine of their own; return its report."""
    work = directory / "machine"
    work.mkdir()
    path = f"{commands(directory / 'bin')}:{os.environ['PATH']}:/usr/sbin:/sbin"
    asked = {"before": reader.before, "send": reader.send, "after": reader.after, "directory": reader.directory, "steps": steps,
             "limit_s": reader.limit_s, "work": str(work), "samples": SAMPLES,
             "kept": [str(ROOT), sys.prefix, sys.base_prefix, str(directory), *SAMPLES],
             "environment": {"HOME": "/root", "PATH": path, "FASTSCP_VENV": sys.prefix, "PYTHONPATH": str(ROOT)}}
    unshare = shutil.which("unshare")
    assert unshare is not None
    done = subprocess.run([unshare, "--mount", "--net", "--pid", "--fork", "--kill-child", sys.executable, "-m", "tests.support.machine"],
                          input=json.dumps(asked), capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def paste(text: str, file: str | None = None) -> dict[str, str | None]:
    return {"where": "page:1", "text": text, "file": file, "language": "sh"}


@needs_root
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_commands_work_as_pasted(page: Path, tmp_path: Path) -> None:
    steps = [{"where": str(block), "text": block.text, "file": block.file, "language": block.language} for block in blocks_of(page)
             if block.file or (block.is_command and not block.reason)]
    report = tried(READERS.get(name_of(page), Reader()), steps, tmp_path)
    assert report["problems"] == [], "\n".join(report["problems"])
    assert len(report["steps"]) >= len([step for step in steps if not step["file"]])


@needs_root
@pytest.mark.parametrize(("steps", "send", "noticed"), [
    ([paste("ls /no/such\ntrue")], "", "page:1: status 2"),
    ([paste("echo 'E: something' >&2")], "", "page:1: E: something"),
    ([paste("sleep 100")], "", "page:1: neither ends nor serves"),
    ([paste("fastscp -od /data/in --no-such-option 11112")], "", "page:1: status 1"),
    ([paste("fastscp -od /data/in --refuse 11112")], SEND, "page:1, what is sent to it: status"),
    ([paste("fastscp -od /data/in --quarantine /no/such 11112 & sleep 1")], "", "page:1: neither ends nor serves"),
    ([paste("fastscp -od /data/in -xcr false 11112")], SEND, "hook"),
    ([paste("port = 11112\nmistake = 1\n", "/etc/f.toml"), paste("fastscp --config /etc/f.toml")], "", "/etc/f.toml:2: mistake"),
], ids=lambda value: value[-1]["text"] if isinstance(value, list) else "")
def test_what_goes_wrong_is_noticed(steps: list[dict[str, str | None]], send: str, noticed: str, tmp_path: Path) -> None:
    report = tried(Reader(send=send, limit_s=5), steps, tmp_path)
    assert noticed in "\n".join(report["problems"]), report


@needs_root
def test_nothing_of_a_machine_stays(tmp_path: Path) -> None:
    mark = f"/etc/fastscp-{tmp_path.name}"
    report = tried(Reader(send=""), [paste(f"touch {mark} /data/in/file && fastscp -od /data/in 104"), paste(f"ls {mark}")],
                   tmp_path)
    assert report["problems"] == []
    assert not Path(mark).exists()
