"""``--user``: who we become, and that a change which is not complete is noticed. Nothing is changed really."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from fastscp.errors import ProcessError, UsageError
from fastscp.service.privileges import drop_privileges, identity

NOBODY = pwd.getpwnam("nobody")


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
