"""The disk of a server, and what can be done to it: filled, made read-only, taken away.

As root it is a small file system of its own. Without, only what permissions can do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from pathlib import Path


class Disk:
    """A directory ``disk`` with ``output`` in it."""

    def __init__(self, directory: Path, size: str) -> None:
        self.root = directory / "disk"
        self.output = self.root / "output"
        self.root.mkdir()
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", str(self.root)],
            capture_output=True, check=False).returncode == 0
        self.output.mkdir()
        self._moved = 0

    def close(self) -> None:
        """Give the file system back."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave no room."""
        with (self.root / "fill").open("wb") as file:
            size = 1 << 20
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def empty(self) -> None:
        """Give the room back."""
        (self.root / "fill").unlink(missing_ok=True)

    def read_only(self) -> bool:
        """Let nothing be written; tell whether it could be done (not while somebody writes)."""
        if not self.mounted:
            return False
        end = time.monotonic() + 1
        while time.monotonic() < end:
            if not subprocess.run(["mount", "-o", "remount,ro", str(self.root)], capture_output=True, check=False).returncode:
                return True
        return False

    def writable(self) -> None:
        """Let it be written again."""
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,rw", str(self.root)], capture_output=True, check=False)

    def take_away(self) -> None:
        """Move the output directory, with all that is in it."""
        self._moved += 1
        with contextlib.suppress(FileNotFoundError):
            self.output.rename(self.root / f"gone-{self._moved}")

    def put_back(self) -> None:
        """Make another, empty one."""
        self.output.mkdir(exist_ok=True)
