"""Writing to standard output and standard error as a program does that others read from."""

from __future__ import annotations

import os


def write(descriptor: int, text: str) -> int:
    """Write ``text`` and return the exit status; a reader that is satisfied early, like ``head``, is no failure.

    Not by ``print``: stdout may be closed, and the interpreter would complain about it again at its end.
    """
    view = memoryview(text.encode("utf-8", "backslashreplace"))
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        return 0
    except OSError:
        return 1
    return 0
