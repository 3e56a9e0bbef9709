from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.process.renounce import renounce_new_privileges


def test_process_renounces_and_its_parent_does_not() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            renounce_new_privileges()
            os.write(writer, Path("/proc/self/status").read_bytes())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert b"NoNewPrivs:\t1" in os.read(reader, 65536)
    os.close(reader)
    os.close(writer)


def test_kernel_that_cannot_is_an_error() -> None:
    with pytest.raises(OSError):
        renounce_new_privileges(lambda *_: -1)
