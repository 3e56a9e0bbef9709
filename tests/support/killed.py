"""Processes that end in the middle of something, as if they were killed."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

NOT_KILLED = 0
FAILED = 1


def in_child(act: Callable[[], object]) -> int:
    """Run something in a process of its own that is to end in the middle of it; return its exit status."""
    pid = os.fork()
    if not pid:
        status = FAILED
        try:
            act()
            status = NOT_KILLED
        except BaseException:  # the outermost frame of a process
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
