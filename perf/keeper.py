"""Runs one server and reaps whatever it leaves behind, so that its CPU time is known to the last child.

    python3 perf/keeper.py PROGRAM [ARGUMENT...]

It is the subreaper of its server (prctl(2)): a hook whose parent ended first becomes its child, not init's, and what is
waited for counts among the keeper's children. SIGTERM it hands on; it ends when the last process below it has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command; return its exit status."""
    if len(sys.argv) < 2 or sys.argv[1] in {"-h", "--help"}:
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    server: subprocess.Popen[bytes] | None = None
    early = False

    def hand_on(number: int, _frame: object) -> None:
        nonlocal early
        early = server is None
        if server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, number)

    signal.signal(signal.SIGTERM, hand_on)
    server = subprocess.Popen(sys.argv[1:])
    if early:
        server.terminate()
    status = 0
    while True:
        try:
            pid, how = os.wait()
        except ChildProcessError:
            return status
        if pid == server.pid:
            status = abs(os.waitstatus_to_exitcode(how))


if __name__ == "__main__":
    sys.exit(main())
