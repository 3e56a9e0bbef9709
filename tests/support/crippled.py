"""The service on a poorer system: ``python -m tests.support.crippled FAULT[,FAULT] ARGUMENTS ...``.

``anonymous``  the file system has no anonymous files
``links``      it has no hard links
``foreign``    study directories are on another file system
``stuck``      a copy to another file system never goes on
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Any


def _without_anonymous_files() -> None:
    real = os.open

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = open_


def _without_links() -> None:
    def link(*_arguments: Any, **_options: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    os.link = link


def _with_a_foreign_file_system() -> None:
    real = os.link

    def link(source: Any, target: Any, *arguments: Any, **options: Any) -> None:
        if str(source).startswith("/proc/") and not str(target).startswith(".fastscp-"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, *arguments, **options)

    os.link = link


def _stuck() -> None:
    def sendfile(*_arguments: Any) -> int:
        time.sleep(3600)
        return 0

    os.sendfile = sendfile  # type: ignore[assignment]


FAULTS = {"anonymous": _without_anonymous_files, "links": _without_links, "foreign": _with_a_foreign_file_system,
          "stuck": _stuck}


def main() -> int:
    """Break what is to be broken, and be the program."""
    from fastscp.cli.main import main as run

    for fault in sys.argv.pop(1).split(","):
        FAULTS[fault]()
    sys.argv[0] = "fastscp"
    return run()


if __name__ == "__main__":
    sys.exit(main())
