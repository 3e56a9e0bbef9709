"""Drop the privileges that only binding the port and reading the keys needed (``--user NAME[:GROUP]``).

The order matters: supplementary groups, group, user; each in all of its real, effective and saved forms.
Afterwards it is proven that there is no way back.
"""

from __future__ import annotations

import grp
import os
import pwd

from fastscp.errors import ProcessError, UsageError


def drop_privileges(user: str) -> None:
    """Become ``user``: a name or number, optionally with ``:`` and a group.

    Raises UsageError for a user or group that does not exist, ProcessError when the change is not allowed
    or could be undone.
    """
    uid, gid, groups = identity(user)
    if os.getresuid() == (uid, uid, uid) and os.getresgid() == (gid, gid, gid):
        return
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise ProcessError(f"cannot become user {user}: {os.strerror(error.errno or 0)}") from error
    _check(user, uid, gid, groups)


def identity(user: str) -> tuple[int, int, list[int]]:
    """Return user id, group id and supplementary group ids of ``NAME[:GROUP]``. Raises UsageError."""
    name, separator, group = user.partition(":")
    if not name or (separator and not group):
        raise UsageError(f"not a user name or user:group: {user}")
    uid, login, primary = _find_user(name)
    if group:
        gid = _find_group(group)
        return uid, gid, [gid]
    if primary is None:
        raise UsageError(f"user {name} is not in the user database, a group is needed: {name}:GROUP")
    return uid, primary, sorted(set(os.getgrouplist(login, primary)))


def _find_user(name: str) -> tuple[int, str, int | None]:
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return int(name), "", None
        raise UsageError(f"unknown user: {name}") from None
    return entry.pw_uid, entry.pw_name, entry.pw_gid


def _find_group(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(f"unknown group: {name}") from None


def _check(user: str, uid: int, gid: int, groups: list[int]) -> None:
    """Make sure that nothing of the former identity is left."""
    if (
        os.getresuid() != (uid, uid, uid)
        or os.getresgid() != (gid, gid, gid)
        or set(os.getgroups()) - {gid} != set(groups) - {gid}
    ):
        raise ProcessError(f"became user {user} only in part")
    if uid == 0:
        return
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise ProcessError(f"privileges dropped for user {user} can be taken back")
