"""``--user`` in a process of its own: who it becomes, and that there is no way back. Needs root."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastscp.service.privileges import identity

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
