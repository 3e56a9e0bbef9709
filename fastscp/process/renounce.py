"""Renounces what a process never needs: more privileges than it has (``no_new_privs``, prctl(2)).

Whoever would make a worker execute something could not become another user by it: no program that is set-user-ID helps.
The coordinator does without, because hooks may be meant to use sudo.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

_PR_SET_NO_NEW_PRIVS = 38
_c_library = ctypes.CDLL(None, use_errno=True)


def renounce_new_privileges(prctl: Callable[..., int] = _c_library.prctl) -> None:
    """Never get new privileges by execve(2), nor let a descendant. Raises OSError on a kernel without it."""
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
