"""``--user`` in a process of its own: who it becomes, and that there is no way back. Needs root."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.service.privileges import identity
from tests.support.hostile import store_one
from tests.support.servers import FastscpServer, wait_until

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CHILD = """
import os, sys
from fastscp.service.privileges import drop_privileges
drop_privileges(sys.argv[1])
print(os.getresuid(), os.getresgid(), sorted(os.getgroups()))
for attempt in (os.setuid, os.setgid):
    try:
        attempt(0)
    except PermissionError:
        print("no way back")
"""


@NEEDS_ROOT
@pytest.mark.parametrize("user", ["nobody", "nobody:12345", "54321:12345"])
def test_privileges_are_gone_for_good(user):
    uid, gid, groups = identity(user)
    done = subprocess.run([sys.executable, "-c", CHILD, user], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [f"{(uid,) * 3} {(gid,) * 3} {groups}", "no way back", "no way back"]


@NEEDS_ROOT
def test_other_user_than_root_cannot_change():
    code = CHILD.replace("drop_privileges(s", "os.setgid(12345); os.setuid(54321); drop_privileges(s", 1)
    done = subprocess.run([sys.executable, "-c", code, "nobody"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "ProcessError: cannot become user nobody: Operation not permitted" in done.stderr


def new_privileges(pid: int) -> bool:
    """Tell whether a process may get privileges by what it executes."""
    return "NoNewPrivs:\t0" in Path(f"/proc/{pid}/status").read_text()


def test_workers_and_resolver_never_get_new_privileges_but_hooks_may(tmp_path):
    """A test runner that has renounced them itself has nothing to tell."""
    if not new_privileges(os.getpid()):
        pytest.skip("this process may not get privileges itself")
    status = tmp_path / "status"
    with FastscpServer(["--workers", "2", "-xcr", f"true #r; grep NoNewPrivs /proc/self/status > {status}", "-od", tmp_path]) as server:
        store_one(server.port)
        assert not any(new_privileges(process.pid) for role in ("worker", "resolver") for process in server.role(role))
        assert len(server.role("resolver")) == 1
        assert all(new_privileges(process.pid) for process in server.role("coordinator"))
        wait_until(lambda: status.exists() and status.read_text(), "the hook ran")
    assert status.read_text() == "NoNewPrivs:\t0\n"


@pytest.mark.parametrize(("mask", "file_mode", "directory_mode"), [("0027", 0o640, 0o750), ("77", 0o600, 0o700)])
def test_umask_holds_for_files_study_directories_and_hooks(tmp_path, mask, file_mode, directory_mode):
    output, made = tmp_path / "output", tmp_path / "made"
    output.mkdir()
    with FastscpServer(["--umask", mask, "--workers", "1", "-su", "s", "-xcr", f"touch {made}", "-od", output]) as server:
        store_one(server.port)
        wait_until(made.exists, "the hook ran")
    assert stat.S_IMODE(made.stat().st_mode) == file_mode
    files = list(output.glob("s*/CT.*"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [file_mode]
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == directory_mode


UNITS = Path(__file__).parents[2] / "docs" / "examples" / "systemd"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_units_are_understood_by_systemd(tmp_path):
    """What they name is not installed where tests run: another program stands in, and the manual page is left out."""
    units = []
    for unit in UNITS.iterdir():
        lines = unit.read_text().splitlines()
        kept = ["ExecStart=/bin/true" if line.startswith("ExecStart=") else line for line in lines
                if not line.startswith("Documentation=")]
        (tmp_path / unit.name).write_text("\n".join(kept))
        if "@" not in unit.name:
            units.append(tmp_path / unit.name)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "fastscp" in line]
    assert said == []
    assert len(units) == 3
