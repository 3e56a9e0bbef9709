"""``--user``: who we become, and that there is no way back. Changing needs root, in a child process."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from fastscp.errors import ProcessError, UsageError
from fastscp.service.privileges import drop_privileges, identity

NOBODY = pwd.getpwnam("nobody")
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


def test_identity_of_a_user():
    assert identity("nobody") == (NOBODY.pw_uid, NOBODY.pw_gid, sorted(os.getgrouplist("nobody", NOBODY.pw_gid)))
    assert identity(str(NOBODY.pw_uid)) == identity("nobody")


def test_identity_with_a_group():
    group = grp.getgrgid(0)
    assert identity(f"nobody:{group.gr_name}") == (NOBODY.pw_uid, 0, [0])
    assert identity("nobody:12345") == (NOBODY.pw_uid, 12345, [12345])
    assert identity("54321:12345") == (54321, 12345, [12345])


@pytest.mark.parametrize(("user", "words"), [
    ("no-such-user", "unknown user: no-such-user"),
    ("nobody:no-such-group", "unknown group: no-such-group"),
    ("54321", "user 54321 is not in the user database, a group is needed"),
    ("", "not a user name"), (":nogroup", "not a user name"), ("nobody:", "not a user name"),
])
def test_users_that_cannot_be(user, words):
    with pytest.raises(UsageError, match=words):
        identity(user)


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


def test_staying_who_we_are_needs_no_privileges(monkeypatch):
    def refuse(*_):
        raise AssertionError("changed something")

    for name in ("setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(os, "getresuid", lambda: (54321,) * 3)
    monkeypatch.setattr(os, "getresgid", lambda: (12345,) * 3)
    drop_privileges("54321:12345")


def test_change_that_happened_only_in_part_is_noticed(monkeypatch):
    for name in ("setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, lambda *_: None)
    monkeypatch.setattr(os, "getresuid", lambda: (0, 54321, 0))
    with pytest.raises(ProcessError, match="became user 54321:12345 only in part"):
        drop_privileges("54321:12345")


def test_change_that_can_be_undone_is_noticed(monkeypatch):
    state = [(0, 0, 0), (0, 0, 0)]
    monkeypatch.setattr(os, "setgroups", lambda _: None)
    monkeypatch.setattr(os, "getgroups", lambda: [12345])
    monkeypatch.setattr(os, "setresgid", lambda *ids: state.__setitem__(1, ids))
    monkeypatch.setattr(os, "setresuid", lambda *ids: state.__setitem__(0, ids))
    monkeypatch.setattr(os, "getresuid", lambda: state[0])
    monkeypatch.setattr(os, "getresgid", lambda: state[1])
    monkeypatch.setattr(os, "setuid", lambda _: None)
    with pytest.raises(ProcessError, match="can be taken back"):
        drop_privileges("54321:12345")
